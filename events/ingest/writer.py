"""Writers of groups of items: small groups by one statement in the event loop, large groups by COPY in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import psycopg2

from events.ingest.bulk_insert import EXECUTE, MIN_COPY_EVENTS, PREPARE, InsertBatch, Store
from events.ingest.db_thread import DatabaseThread
from events.ingest.statement import Statement
from events.validation.event import Item, ItemOutcome

ERROR_BYTES = 300  # approximate size of a validation error in the statement, in bytes
MAX_INLINE_BYTES = 64 * 1024  # approximate size of a group up to which the event loop itself builds the statement


class Writer:
    """A writer with two connections: one used in the event loop, one in a thread. Both are opened on first use.

    It writes one group at a time.
    """

    def __init__(self, name: str, store: Store) -> None:
        self.thread = DatabaseThread(name)
        self.statement = Statement(f"{name}-small", PREPARE, EXECUTE)
        self._store = store

    async def write(self, items: Sequence[Item]) -> list[ItemOutcome]:
        """Commit at most BATCH_ROWS items. Return what became of each.

        Raises Unavailable if Postgres fails; the items may or may not be stored then.
        """
        if len(items) < MIN_COPY_EVENTS and sum(map(_weight, items)) <= MAX_INLINE_BYTES:
            group = InsertBatch(items)
            try:
                return group.outcomes({place for (place,) in await self.statement.run(group.values())})
            except psycopg2.Error:  # a deadlock, or Postgres refuses an item: the store finds out which one
                pass
        return await self.thread.run(partial(self._store.write, items=items))

    def close(self) -> None:
        """Close the connections after the work in progress, and wait until they are closed."""
        self.statement.close()
        self.thread.close()


def _weight(item: Item) -> int:
    return len(item.raw) + ERROR_BYTES * len(item.reasons) if item.reasons else len(item.data)
