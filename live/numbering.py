"""The numbers of messages: in the order in which they became visible, whatever order they were written in.

A row's id is taken when it is written, and transactions commit in another order: who has read up to id 7 may have
missed 6, which was still uncommitted. So clients count in `seq`, which is given after the commit:

1. `publish` writes the row in the transaction of the change, without a number. If that rolls back, nothing was said.
2. After the commit it sends a hint through Redis. The hint carries nothing; it may be lost.
3. Whoever wants to read (a hub at a hint and once a second, the retention) first gives numbers by `number`:
   it locks the one row of `Position`, and, in a new snapshot taken under that lock, gives all committed rows that have
   no number the next ones, and moves the position. All in one statement, so that no stopped client can hold the lock.
4. The next to number waits for that lock, and Postgres makes a transaction visible before it lets go of its locks. So
   whoever sees number n sees every number below n, for ever: "everything after n" can miss nothing.
5. A publisher killed between 1 and 2 has lost only the hint: the row is there, and the next to number finds it.

Numbers have no gaps, and cost a publisher nothing: who writes waits neither for the lock nor for a second commit.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from live.models import OutboxMessage

MAX_REPLAYED = 500  # messages; who missed more had better load the page again
_DELETED_AT_ONCE = 10_000
_SECONDS = 30.0  # of deleting in one task; the next one continues

# At most 5,000 at once, so that a backlog of any size stays far from the statement's time limit.
_NUMBER = """
DO $$
DECLARE
    base bigint;
    given bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM live_event WHERE seq IS NULL) THEN
        RETURN;
    END IF;
    INSERT INTO live_position (id, seq, forgotten) VALUES (1, 0, 0)
        ON CONFLICT (id) DO UPDATE SET seq = live_position.seq RETURNING seq INTO base;
    WITH waiting AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place
        FROM (SELECT id FROM live_event WHERE seq IS NULL ORDER BY id LIMIT 5000) AS oldest
    )
    UPDATE live_event SET seq = base + place FROM waiting WHERE live_event.id = waiting.id;
    GET DIAGNOSTICS given = ROW_COUNT;
    UPDATE live_position SET seq = base + given WHERE id = 1;
END $$
"""

_DELETE = """
WITH gone AS (
    DELETE FROM live_event
    -- Of two that delete at once the second one takes the next rows, so that they never wait in a circle.
    WHERE id IN (SELECT id FROM live_event WHERE seq IS NOT NULL ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED)
      AND created_at < now() - %s * interval '1 hour'
    RETURNING seq
), noted AS (
    UPDATE live_position SET forgotten = greatest(forgotten, (SELECT max(seq) FROM gone)) WHERE id = 1
)
SELECT count(*) FROM gone
"""


class NumberedMessage(NamedTuple):
    """A numbered message; `data` is JSON text."""

    seq: int
    topic: str
    type: str
    data: str


def number() -> None:
    """Give the committed messages that have no number theirs, the 5,000 oldest at most."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBER)


def number_all() -> None:
    """`number` until nothing is left, however long nobody has been reading."""
    number()
    while OutboxMessage.objects.filter(seq__isnull=True).exists():
        number()


def position() -> int:
    """Return the last number given."""
    return _position()[0]


def _position() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, forgotten FROM live_position")
        return cursor.fetchone() or (0, 0)


def read(after: int, limit: int) -> list[NumberedMessage]:
    """Return the messages after that number, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, topic, type, data FROM live_event WHERE seq > %s ORDER BY seq LIMIT %s", [after, limit]
        )
        return [NumberedMessage(*row) for row in cursor.fetchall()]


def replay(topics: list[str], since: int, until: int) -> list[NumberedMessage] | None:
    """Return what these topics had in since < seq ≤ until; None if that is too much, or deleted, or not ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, topic, type, data FROM live_event"
            " WHERE topic = ANY(%s) AND seq > %s AND seq <= %s ORDER BY seq LIMIT %s",
            [topics, since, until, MAX_REPLAYED + 1],
        )
        rows = [NumberedMessage(*row) for row in cursor.fetchall()]
    # After the rows: what was deleted meanwhile is noted by now.
    last, forgotten = _position()
    return rows if forgotten <= since <= last and len(rows) <= MAX_REPLAYED else None


def forget_old(seconds: float = _SECONDS) -> int:
    """Delete messages older than LIVE_RETENTION_HOURS, lowest numbers first, in short transactions; return how many.

    It stops after about `seconds`.
    """
    total, until = 0, time.monotonic() + seconds
    number_all()  # a row that vanished without a number would be missed by nobody's count
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_DELETE, [_DELETED_AT_ONCE, settings.LIVE_RETENTION_HOURS])
            (deleted,) = cursor.fetchone()
            total += deleted
            if deleted < _DELETED_AT_ONCE or time.monotonic() >= until:
                return total
