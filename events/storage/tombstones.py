"""Tombstones: they keep an event that was erased or moved to another time from being stored again.

Senders deliver at least once. The unique key (application, id, timestamp) detects an event that is sent again, but only
while the row with that key exists. When the row is removed, a tombstone keeps its key:

1. The transaction that deletes an event, or changes its timestamp, writes a tombstone with the event's former key.
2. The ingest's insert statement skips events that have a tombstone and reports them as "duplicate"
   (events/ingest/bulk_insert.py, events/rejected/backfill.py).
3. One race remains. A statement that began before that transaction committed does not see the tombstone. It waits for
   the row's lock, finds the row deleted, and stores the event again. The digest deletes such events before it counts
   their batch. Their batch is committed after the tombstone, so the digest always sees the tombstone.

A tombstone holds only the key of the event. The retention keeps it as long as the ingest accepts events with its
timestamp (events/storage/retention.py). After that the ingest rejects the event as too old.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.backends.utils import CursorWrapper

from events.models import Batch, Event, EventTombstone
from events.models.event import BATCH_ROWS

Reason = EventTombstone.Reason
# Longer than any transaction: `created_at` of a tombstone is the time of its insert statement, but other transactions
# see the tombstone only after the commit.
MAX_INGEST_DURATION = timedelta(hours=1)

# A condition for a statement whose rows are called `sent`: the row has no tombstone. OFFSET 0 keeps Postgres from
# turning the subquery into a join, which would read all tombstones. So each row is looked up in the index.
NO_TOMBSTONE = """
    NOT EXISTS (
        SELECT FROM events_eventtombstone AS tombstone
        WHERE tombstone.application_id = sent.application AND tombstone.event_id = sent.event_id
          AND tombstone.timestamp = sent.timestamp
        OFFSET 0
    )
"""
_DELETE_STORED_AGAIN = """
    DELETE FROM events_event AS event
    USING unnest(%(ids)s::bigint[], %(first)s::timestamptz[], %(last)s::timestamptz[]) AS batch (id, first, last),
          events_eventtombstone AS tombstone
    WHERE tombstone.created_at > %(since)s
      AND event.application_id = tombstone.application_id AND event.event_id = tombstone.event_id
      AND event.timestamp = tombstone.timestamp AND event.timestamp BETWEEN batch.first AND batch.last
      AND event.id >= batch.id * %(rows)s AND event.id < (batch.id + 1) * %(rows)s
    RETURNING batch.id
"""


def erased(event: Event) -> None:
    """Write the tombstone of an event that the caller's transaction deletes."""
    _add(event, Reason.ERASED)


def moved(before: Event, after: Event) -> None:
    """Write the tombstone of an event whose timestamp the caller's transaction changes."""
    # An event now exists under the new key, so a tombstone with that key must go.
    EventTombstone.objects.filter(
        application_id=after.application_id, event_id=after.event_id, timestamp=after.timestamp
    ).delete()
    _add(before, Reason.MOVED)


def _add(event: Event, reason: Reason) -> None:
    key = {"application_id": event.application_id, "event_id": event.event_id, "timestamp": event.timestamp}
    EventTombstone.objects.bulk_create([EventTombstone(**key, reason=reason)], ignore_conflicts=True)


def delete_stored_again(cursor: CursorWrapper, batches: list[Batch]) -> None:
    """Delete the events of these batches that have a tombstone: see step 3 above. The caller has locked the batches."""
    since = min(batch.created_at for batch in batches) - MAX_INGEST_DURATION
    if not EventTombstone.objects.filter(created_at__gt=since).exists():
        return
    values: dict[str, Any] = {
        "ids": [batch.pk for batch in batches],
        "first": [batch.first_timestamp for batch in batches],
        "last": [batch.last_timestamp for batch in batches],
        "since": since,
        "rows": BATCH_ROWS,
    }
    cursor.execute(_DELETE_STORED_AGAIN, values)
    by_id = {batch.pk: batch for batch in batches}
    for (number,) in cursor.fetchall():
        by_id[number].events -= 1
