"""Numbers of messages, in the order in which the messages became visible, not in the order of writing.

A row gets its id when it is written, but transactions commit in another order: a reader that has read up to id 7 may
have missed 6, which was still uncommitted. So clients count by `seq`, which is assigned after the commit:

1. `publish` writes the row without a number, in the transaction of the change. A rollback removes it.
2. After the commit it sends a hint through Redis. The hint has no content and may be lost.
3. Every reader (a hub at a hint and once a second, the retention) first calls `number`: it locks the one row of
   `Position`. In a new snapshot taken under that lock, it assigns the next numbers to all committed rows without one,
   and advances the position. All of this is one statement, so a client that stops cannot keep the lock.
4. The next caller of `number` waits for that lock, and Postgres makes a transaction visible before it releases its
   locks. So a reader that sees number n sees every number below n, from then on: "everything after n" misses nothing.
5. A publisher that is killed between 1 and 2 has only lost the hint: the row is committed, and the next caller of
   `number` finds it.

Numbers have no gaps and cost a publisher nothing: it waits neither for the lock nor for a second commit.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from live.models import OutboxMessage

MAX_REPLAYED = 500  # messages; a client that missed more reloads the state
_DELETED_AT_ONCE = 10_000
_SECONDS = 30.0  # budget of one deletion task; the next one continues

# At most 5,000 per statement, so that any backlog stays far below the statement timeout.
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
    """Assign numbers to committed messages that have none, at most to the 5,000 oldest."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBER)


def number_all() -> None:
    """Call `number` until no message is left without one, however long nothing was read."""
    number()
    while OutboxMessage.objects.filter(seq__isnull=True).exists():
        number()


def position() -> int:
    """Return the last assigned number."""
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
    """Return these topics' messages with since < seq ≤ until.

    None if there are too many, if some were deleted, or if `since` is not a number of this database.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, topic, type, data FROM live_event"
            " WHERE topic = ANY(%s) AND seq > %s AND seq <= %s ORDER BY seq LIMIT %s",
            [topics, since, until, MAX_REPLAYED + 1],
        )
        rows = [NumberedMessage(*row) for row in cursor.fetchall()]
    # After the rows: deletions that ran meanwhile have already recorded `forgotten`.
    last, forgotten = _position()
    return rows if forgotten <= since <= last and len(rows) <= MAX_REPLAYED else None


def forget_old(seconds: float = _SECONDS) -> int:
    """Delete messages older than LIVE_RETENTION_HOURS in short transactions, lowest numbers first. Return their count.

    Stops after about `seconds`.
    """
    total, until = 0, time.monotonic() + seconds
    number_all()  # deleting a row without a number would leave no trace for clients that missed it
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_DELETE, [_DELETED_AT_ONCE, settings.LIVE_RETENTION_HOURS])
            (deleted,) = cursor.fetchone()
            total += deleted
            if deleted < _DELETED_AT_ONCE or time.monotonic() >= until:
                return total
