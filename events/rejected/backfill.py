"""Late storage of events from replays, as a batch that the digest will count."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DataError, connection, transaction

from events.ingest.bulk_insert import STORE, InsertBatch
from events.validation.errors import reason
from events.validation.event import Item, ItemOutcome


def store(items: Sequence[Item]) -> list[ItemOutcome]:
    """Store at most BATCH_ROWS valid items in the caller's transaction. Return what became of each.

    An item that Postgres cannot store gets a validation error instead.
    """
    if not items:
        return []
    group = InsertBatch(items)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(STORE, group.values())
            return group.outcomes({place for (place,) in cursor.fetchall()})
    except (DataError, ValueError) as error:
        if len(items) > 1:
            half = len(items) // 2
            return store(items[:half]) + store(items[half:])
        items[0].reasons.append(reason("unstorable", [], f"The database refuses to hold this: {error}"))
        return ["rejected"]
