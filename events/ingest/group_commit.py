"""Group commit: the items of all waiting requests are written to Postgres in one transaction.

Each request continues when its items are committed. While one group is being committed, the next one accumulates. So
groups grow with the load, and the cost per item falls. No request waits for a group to fill up.
"""

from __future__ import annotations

import asyncio
import collections
import itertools

import structlog
from prometheus_client import Counter, Histogram

from events.ingest.db_thread import Unavailable
from events.ingest.writer import Writer
from events.models.event import BATCH_ROWS
from events.validation.event import Item, ItemOutcome

log = structlog.get_logger(__name__)

sizes = Histogram(
    "opsroom_events_group_items", "Items in one commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, BATCH_ROWS)
)
durations = Histogram(
    "opsroom_events_group_seconds", "Time of one commit", buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1, 5)
)
items_total = Counter("opsroom_events_items_total", "Items that were committed, by what became of them", ["status"])

SECOND_WRITER_ITEMS = 500  # waiting items that start a second writer; below that, fewer and larger groups cost less


class ApplicationGone(Exception):
    """The application was deleted after its key was looked up."""


class WaitingRequest:
    """A request whose items are not committed yet."""

    def __init__(self, items: list[Item], done: asyncio.Future[list[ItemOutcome]]) -> None:
        self.items, self.done = items, done


class GroupCommit:
    """The queue of waiting requests, and the writers that commit it in groups: one group at a time per writer."""

    def __init__(self, writers: list[Writer]) -> None:
        self._idle, self._writers = writers, len(writers)
        self._busy: set[asyncio.Task[None]] = set()
        self._waiting: collections.deque[WaitingRequest] = collections.deque()
        self._rows = 0  # number of waiting items

    async def commit(self, items: list[Item]) -> list[ItemOutcome]:
        """Wait until the items are committed. Return what became of each.

        Raises ApplicationGone if their application was deleted; no item is stored then. Raises Unavailable if Postgres
        fails; the items may or may not be stored then.
        """
        one = WaitingRequest(items, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._rows += len(items)
        if len(self._idle) == self._writers or (self._idle and self._rows >= SECOND_WRITER_ITEMS):
            task = asyncio.create_task(self._run_writer(self._idle.pop()))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        try:
            return await one.done
        except asyncio.CancelledError:
            self._remove(one)
            raise

    def _remove(self, one: WaitingRequest) -> None:
        """Remove a cancelled request from the queue. Without this the queue would grow while Postgres is frozen."""
        if one in self._waiting:
            self._waiting.remove(one)
            self._rows -= len(one.items)

    async def _run_writer(self, writer: Writer) -> None:
        try:
            while self._waiting:
                await self._commit(writer, self._next_group())
        finally:
            self._idle.append(writer)

    def _next_group(self) -> list[WaitingRequest]:
        """Take as many requests from the queue as fit into one batch. A request, at most 500 items, is never split."""
        group, rows = [], 0
        while self._waiting and rows + len(self._waiting[0].items) <= BATCH_ROWS:
            group.append(self._waiting.popleft())
            rows += len(group[-1].items)
        self._rows -= rows
        return group

    async def _commit(self, writer: Writer, group: list[WaitingRequest]) -> None:
        items = [item for one in group for item in one.items]
        try:
            with durations.time():
                outcomes = await writer.write(items)
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("events_commit_failed")
            for one in group:
                if not one.done.done():
                    one.done.set_exception(Unavailable(str(error)))
            return
        sizes.observe(len(items))
        for outcome, number in collections.Counter(outcomes).items():
            items_total.labels(outcome).inc(number)
        each = iter(outcomes)
        for one in group:
            found = list(itertools.islice(each, len(one.items)))
            if one.done.done():
                continue
            if "gone" in found:  # then all of them: a request has one application
                one.done.set_exception(ApplicationGone())
            else:
                one.done.set_result(found)
