"""How a group gets to Postgres: a small one by one statement in the event loop, a large one by COPY in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import psycopg2

from events.ingest.bulk_insert import COPY_FROM, EXECUTE, PREPARE, InsertBatch, Store
from events.ingest.db_thread import DatabaseThread
from events.ingest.statement import Statement
from events.validation.event import Item

REASON = 300  # bytes, roughly
MAX_INLINE_BYTES = 64 * 1024  # bytes that the event loop prepares for a statement


class Writer:
    """Writes one group at a time. Its connections are opened when they are first needed."""

    def __init__(self, name: str, store: Store) -> None:
        self.line = DatabaseThread(name)
        self.statement = Statement(f"{name}-small", PREPARE, EXECUTE)
        self._store = store

    async def write(self, items: Sequence[Item]) -> None:
        """Commit at most BATCH_ROWS items, and tell each one's status. Raises Unavailable: they may be, or not."""
        if len(items) < COPY_FROM and sum(map(_weight, items)) <= MAX_INLINE_BYTES:
            group = InsertBatch(items)
            try:
                group.settle(await self.statement.run(group.values()))
                return
            except psycopg2.Error:  # a deadlock, or one of them cannot be held: the store finds out which
                pass
        await self.line.run(partial(self._store.write, items=items))

    def close(self) -> None:
        """Hang up after what is under way, and wait for that."""
        self.statement.close()
        self.line.close()


def _weight(item: Item) -> int:
    return len(item.raw) + REASON * len(item.reasons) if item.reasons else len(item.data)
