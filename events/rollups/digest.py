"""The digest: counts the events of batches into sessions and per-minute counts (rollups).

Every event is counted exactly once, even if a worker dies while counting. One transaction does all of it:

0. Lock the partitions (events/storage/partitions.py), so that no row moves between them and every row is found.
1. Lock the oldest batches that no other worker has locked (SKIP LOCKED). The row lock is the claim; it ends with the
   connection.
2. Delete those of their events that were stored again while they were being erased or moved
   (events/storage/tombstones.py).
3. Add their events to the sessions, then to the per-minute counts. All workers lock rows in the same order. The rows of
   the current minute, which every worker needs, are locked last and therefore for the shortest time.
4. Delete the batches. Events, counts and batches change in the same transaction, so an event has been counted if and
   only if its batch no longer exists. Code that changes or deletes an event locks its batch first, and so knows
   whether the event has been counted (events/rollups/adjustments.py).
5. Publish live messages on the same commit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now

from core.database.deadlocks import retried
from events import realtime
from events.models import Batch
from events.models.event import BATCH_ROWS
from events.storage import partitions, tombstones

AT_ONCE = 300  # batches per transaction
ROWS_AT_ONCE = 50_000  # rows per transaction, about; keeps transactions short
SECONDS = 4.0  # per task: a worker runs two tasks at a time, and other tasks wait for a free slot

# The events of each batch, read by its range of ids and only in the partitions that its range of timestamps touches.
# ORDER BY id makes Postgres use the index on ids. It knows neither range when it plans, so it might choose the index on
# timestamps, and one late event in a batch would then make it read a month.
_HAPPENED = """
    FROM unnest(%(ids)s::bigint[], %(first)s::timestamptz[], %(last)s::timestamptz[]) AS batch (id, first, last)
    CROSS JOIN LATERAL (
        SELECT * FROM events_event AS each
        WHERE each.id >= batch.id * %(rows)s AND each.id < (batch.id + 1) * %(rows)s
          AND each.timestamp BETWEEN batch.first AND batch.last
        ORDER BY each.id
    ) AS event
"""
_SESSIONS = f"""
    INSERT INTO events_session AS known (session_id, first_seen, last_seen, event_count)
    SELECT event.session_id, min(event.timestamp), max(event.timestamp), count(*) {_HAPPENED}
    GROUP BY event.session_id ORDER BY event.session_id COLLATE "C"
    ON CONFLICT (session_id) DO UPDATE SET
        first_seen = least(known.first_seen, excluded.first_seen),
        last_seen = greatest(known.last_seen, excluded.last_seen),
        event_count = known.event_count + excluded.event_count
"""
_MINUTES = f"""
    INSERT INTO events_minute AS known (minute, application_id, category, name, events, rejected)
    SELECT minute, application_id, category, name, sum(events), sum(rejected) FROM (
        SELECT date_trunc('minute', event.timestamp, 'UTC') AS minute, event.application_id, event.category, event.name,
               count(*) AS events, 0 AS rejected {_HAPPENED} GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT date_trunc('minute', rejected_event.received_at, 'UTC'), rejected_event.application_id,
               rejected_event.category, rejected_event.name,
               0, count(*)
        FROM unnest(%(ids)s::bigint[]) AS batch (id)
        JOIN events_rejectedevent AS rejected_event
          ON rejected_event.id >= batch.id * %(rows)s AND rejected_event.id < (batch.id + 1) * %(rows)s
        GROUP BY 1, 2, 3, 4
    ) AS counted
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, category COLLATE "C", name COLLATE "C"
    ON CONFLICT (minute, application_id, category, name) DO UPDATE SET
        events = known.events + excluded.events, rejected = known.rejected + excluded.rejected
"""  # noqa: S608
# Corrections (`Arrival`) for events that were received in another minute than they happened in, as from programs that
# send late.
_ARRIVALS = f"""
    INSERT INTO events_arrival AS known (minute, application_id, more)
    WITH late AS (
        SELECT date_trunc('minute', event.timestamp, 'UTC') AS happened,
               date_trunc('minute', event.received_at, 'UTC') AS came, event.application_id, count(*) AS number
        {_HAPPENED}
        WHERE date_trunc('minute', event.timestamp, 'UTC') <> date_trunc('minute', event.received_at, 'UTC')
        GROUP BY 1, 2, 3
    )
    SELECT minute, application_id, sum(number) FROM (
        SELECT came AS minute, application_id, number FROM late
        UNION ALL SELECT happened, application_id, -number FROM late
    ) AS moved
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (minute, application_id) DO UPDATE SET more = known.more + excluded.more
"""  # noqa: S608
_REJECTED = """
    SELECT rejected_event.application_id, application.name, rejected_event.category, rejected_event.name,
           rejected_event.code, rejected_event.pointer, count(*)
    FROM unnest(%(ids)s::bigint[]) AS batch (id)
    JOIN events_rejectedevent AS rejected_event
      ON rejected_event.id >= batch.id * %(rows)s AND rejected_event.id < (batch.id + 1) * %(rows)s
    JOIN events_application AS application ON application.id = rejected_event.application_id
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 3, 4, 5, 6 LIMIT %(groups)s
"""


@dataclass(frozen=True)
class DigestResult:
    """The numbers of batches, events and rejected events that were counted."""

    batches: int
    events: int
    rejected: int


def run(seconds: float = SECONDS) -> DigestResult:
    """Count batches until all are counted, or for about `seconds`. Return the totals."""
    until = time.monotonic() + seconds
    results = [digest_some()]
    while results[-1].batches and time.monotonic() < until:
        results.append(digest_some())
    return DigestResult(*(sum(getattr(one, name) for one in results) for name in ("batches", "events", "rejected")))


@retried
def digest_some(at_once: int = AT_ONCE) -> DigestResult:
    """Count the oldest batches that no other worker has locked, in one transaction."""
    with transaction.atomic():
        partitions.lock_partitions()
        batches = _claim(at_once)
        if not batches:
            return DigestResult(0, 0, 0)
        with connection.cursor() as cursor:
            tombstones.delete_stored_again(cursor, batches)
            done = DigestResult(len(batches), sum(row.events for row in batches), sum(row.rejected for row in batches))
            realtime.digested(done.events, done.rejected, _groups(cursor, batches) if done.rejected else [])
            add_up(cursor, batches)
        Batch.objects.filter(pk__in=[batch.pk for batch in batches]).delete()
    return done


def add_up(cursor: CursorWrapper, batches: list[Batch]) -> None:
    """Add the events and rejected events of these batches to sessions and per-minute counts.

    Runs in the caller's transaction.
    """
    values = _values(batches)
    cursor.execute(_SESSIONS, values)
    cursor.execute(_MINUTES, values)
    if late := [batch for batch in batches if _may_be_late(batch)]:
        cursor.execute(_ARRIVALS, _values(late))


def _may_be_late(batch: Batch) -> bool:
    """Whether events of a batch may have happened in another minute than the one in which the batch was received.

    For most batches of busy applications the answer is no, which saves the query for `Arrival`.
    """
    moments = (batch.first_timestamp, batch.last_timestamp, batch.created_at)
    return len({at.replace(second=0, microsecond=0) for at in moments if at is not None}) > 1


def lag() -> float:
    """Return the age of the oldest uncounted batch in seconds; 0.0 without uncounted batches."""
    oldest = Batch.objects.order_by("pk").values_list("created_at", Now()).first()
    return max((oldest[1] - oldest[0]).total_seconds(), 0.0) if oldest else 0.0


def _claim(at_once: int) -> list[Batch]:
    """Lock the oldest `at_once` batches. Return those to count: at least one, and at most about ROWS_AT_ONCE rows."""
    claimed = Batch.objects.select_for_update(skip_locked=True).order_by("pk")[:at_once]
    chosen: list[Batch] = []
    rows = 0
    for batch in claimed:
        rows += batch.events + batch.rejected
        if chosen and rows > ROWS_AT_ONCE:
            break
        chosen.append(batch)
    return chosen


def _groups(cursor: CursorWrapper, batches: list[Batch]) -> list[tuple[Any, ...]]:
    cursor.execute(_REJECTED, {**_values(batches), "groups": realtime.MAX_GROUPS})
    return cursor.fetchall()


def _values(batches: list[Batch]) -> dict[str, Any]:
    return {
        "ids": [batch.pk for batch in batches],
        "first": [batch.first_timestamp for batch in batches],
        "last": [batch.last_timestamp for batch in batches],
        "rows": BATCH_ROWS,
    }
