"""Why an event that was erased, or moved to another time, does not come back when its sender sends it again.

Senders deliver at least once. The unique key (application, id, timestamp) finds what is sent again, until the row of
that key is gone. So the key stays as a tombstone:

1. The transaction that deletes an event, or changes its timestamp, writes a tombstone with the key that it had.
2. The ingest's statement leaves out events with a tombstone, and answers "duplicate" (events/ingest/bulk_insert.py,
   events/rejected/backfill.py).
3. A statement that began before that transaction committed sees no tombstone, waits for the row, finds it gone, and
   stores the event once more. The digest deletes such events before it counts their batch, which nobody has committed
   before the tombstone.

A tombstone holds nothing of the event but its key. It is kept as long as the ingest takes events of its time
(events/storage/retention.py); later ones are too old.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.backends.utils import CursorWrapper

from events.models import Batch, Event, EventTombstone
from events.models.event import BATCH_ROWS

Reason = EventTombstone.Reason
# Longer than any transaction: a tombstone has the time of its statement, and is seen after the commit.
MAX_INGEST_DURATION = timedelta(hours=1)

# The condition of a statement whose rows are called `sent`. OFFSET 0 has each of them looked up by the index: as a join
# with many tombstones, Postgres would read all of them.
NOT_GONE = """
    NOT EXISTS (
        SELECT FROM events_eventtombstone AS gone
        WHERE gone.application_id = sent.application AND gone.event_id = sent.event_id
          AND gone.timestamp = sent.timestamp
        OFFSET 0
    )
"""
_DELETE_STORED_AGAIN = """
    DELETE FROM events_event AS event
    USING unnest(%(ids)s::bigint[], %(first)s::timestamptz[], %(last)s::timestamptz[]) AS batch (id, first, last),
          events_eventtombstone AS gone
    WHERE gone.created_at > %(since)s
      AND event.application_id = gone.application_id AND event.event_id = gone.event_id
      AND event.timestamp = gone.timestamp AND event.timestamp BETWEEN batch.first AND batch.last
      AND event.id >= batch.id * %(rows)s AND event.id < (batch.id + 1) * %(rows)s
    RETURNING batch.id
"""


def erased(event: Event) -> None:
    """Keep the key of an event that the caller's transaction deletes."""
    _keep(event, Reason.ERASED)


def moved(before: Event, after: Event) -> None:
    """Keep the key of an event whose timestamp the caller's transaction changes."""
    # Where it is now there is an event.
    EventTombstone.objects.filter(
        application_id=after.application_id, event_id=after.event_id, timestamp=after.timestamp
    ).delete()
    _keep(before, Reason.MOVED)


def _keep(event: Event, reason: Reason) -> None:
    key = {"application_id": event.application_id, "event_id": event.event_id, "timestamp": event.timestamp}
    EventTombstone.objects.bulk_create([EventTombstone(**key, reason=reason)], ignore_conflicts=True)


def delete_stored_again(cursor: CursorWrapper, batches: list[Batch]) -> None:
    """Delete the events of these batches, which the caller has locked, that have a tombstone; see step 3."""
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
