"""Late storage of events from replays, as a batch that the digest will count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from django.db import DataError, connection, transaction

from events.models.event import BATCH_ROWS
from events.storage.tombstones import NOT_GONE
from events.validation.errors import reason
from events.validation.event import Item

# Like the ingest's statement (events/ingest/bulk_insert.py), except for received_at, which is not now.
_STORE = f"""
WITH batch AS MATERIALIZED (
    SELECT nextval('events_batch_id_seq') AS id
), stored AS (
    INSERT INTO events_event
        (id, application_id, event_id, session_id, category, name, data, timestamp, received_at)
    SELECT batch.id * {BATCH_ROWS} + place, application, event_id, session_id, category, name, data, timestamp, received
    FROM batch, json_to_recordset(%s) AS sent (place int, application bigint, event_id uuid, session_id varchar,
        category varchar, name varchar, data jsonb, timestamp timestamptz, received timestamptz)
    WHERE {NOT_GONE}
    ORDER BY application, event_id, timestamp, place
    ON CONFLICT (application_id, event_id, timestamp) DO NOTHING RETURNING id, timestamp
), noted AS (
    INSERT INTO events_batch (id, events, rejected, first_timestamp, last_timestamp)
    SELECT batch.id, count(*), 0, min(stored.timestamp), max(stored.timestamp)
    FROM batch JOIN stored ON true GROUP BY batch.id
)
SELECT id %% {BATCH_ROWS} FROM stored
"""  # noqa: S608  a constant of this module


def store(items: Sequence[tuple[Item, datetime]]) -> None:
    """Store at most BATCH_ROWS valid items with their time of arrival, in the caller's transaction.

    Sets each item's status.

    An item that Postgres cannot store gets a validation error instead.
    """
    if not items:
        return
    try:
        with transaction.atomic():
            new = _store(items)
    except (DataError, ValueError) as error:
        if len(items) > 1:
            half = len(items) // 2
            store(items[:half])
            store(items[half:])
            return
        items[0][0].reasons.append(reason("unstorable", [], f"The database refuses to hold this: {error}"))
        return
    for place, (item, _) in enumerate(items):
        item.status = "accepted" if place in new else "duplicate"


def _store(items: Sequence[tuple[Item, datetime]]) -> set[int]:
    rows = [
        {
            "place": place,
            "application": item.application,
            "event_id": item.event_id,
            "session_id": item.session_id,
            "category": item.category,
            "name": item.name,
            "data": orjson.Fragment(item.data),
            "timestamp": item.timestamp,
            "received": received,
        }
        for place, (item, received) in enumerate(items)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [orjson.dumps(rows).decode()])
        return {place for (place,) in cursor.fetchall()}
