"""Group commit: whatever is waiting goes to Postgres in one transaction, and every request hears when it is there.

While one group is being committed the next one gathers: the more there is to do, the larger the groups, and the less
each of them costs. Nobody waits for a group to fill up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import structlog
from prometheus_client import Histogram

from events.envelope import Item
from events.line import Line, Unavailable
from events.models.event import BATCH_ROWS
from events.store import Store

log = structlog.get_logger(__name__)

sizes = Histogram(
    "opsroom_events_group_items", "Items in one commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, BATCH_ROWS)
)
durations = Histogram(
    "opsroom_events_group_seconds", "Time of one commit", buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1, 5)
)

BESIDE = 500  # items waiting for a second writer to start; below, fewer and larger groups cost less

Waiting = tuple[list[Item], "asyncio.Future[None]"]


class GroupCommit:
    """Commits on these lines, each with one group under way."""

    def __init__(self, lines: list[Line]) -> None:
        self._store = Store()
        self._idle, self._lines = lines, len(lines)
        self._busy: set[asyncio.Task[None]] = set()
        self._waiting: deque[Waiting] = deque()
        self._rows = 0  # in what is waiting

    async def commit(self, items: list[Item]) -> None:
        """Return when the items are committed and know their status. Raises Unavailable: they may be, or not."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, done))
        self._rows += len(items)
        if len(self._idle) == self._lines or (self._idle and self._rows >= BESIDE):
            task = asyncio.create_task(self._work(self._idle.pop()))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        await done

    async def _work(self, line: Line) -> None:
        try:
            while self._waiting:
                await self._commit(line, self._next())
        finally:
            self._idle.append(line)

    def _next(self) -> list[Waiting]:
        """Take as many requests as fit into one batch. A request is never divided: it has 500 items at most."""
        group, rows = [], 0
        while self._waiting and rows + len(self._waiting[0][0]) <= BATCH_ROWS:
            group.append(self._waiting.popleft())
            rows += len(group[-1][0])
        self._rows -= rows
        return group

    async def _commit(self, line: Line, group: list[Waiting]) -> None:
        items = [item for items, _ in group for item in items]
        try:
            with durations.time():
                await line.run(partial(self._store.write, items=items))
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("events_commit_failed")
            for _, done in group:
                if not done.done():
                    done.set_exception(Unavailable(str(error)))
            return
        sizes.observe(len(items))
        for _, done in group:
            if not done.done():
                done.set_result(None)
