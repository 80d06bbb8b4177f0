"""Hub of a web process: reads the outbox once and passes each message to all sockets that watch its topic.

1. `position` is the last number that was read. At a hint from Redis, and once a second without one, the hub reads later
   messages: with one query, in a thread with its own connection, however many sockets there are.
2. Each row is encoded once and offered to the subscribers of its topic. Nothing else runs between offering a row and
   advancing `position`. So a socket that joins at `position` gets every later message live, and none twice.
3. Every CHECK_SECONDS it checks, in four queries for all sockets, whether their users are still valid (live/access.py).

The hub runs while a socket is connected, and for IDLE_SECONDS longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import Gauge

from core.database.thread import Reader
from live import numbering
from live.access import look_up
from live.numbering import NumberedMessage
from live.redis_pubsub import hints
from live.subscriber import Subscriber

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
CHECK_SECONDS = 30.0  # a revoked user gets messages for at most this long, plus the check itself
CHECK_RETRY_SECONDS = 2.0  # delay after a failed check
IDLE_SECONDS = 60.0
START_SECONDS = 5.0
ROWS = 100  # per query: half a subscriber's queue, so that a single burst cannot make a reader too slow
DELIVERIES = 1_000  # put into queues before other tasks of the process run
sockets = Gauge("opsroom_live_sockets", "Open WebSockets of this process")


class Hub:
    def __init__(self) -> None:
        self.position = 0
        self._subscribers: set[Subscriber] = set()
        self._watchers: dict[str, set[Subscriber]] = {}
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._hint = asyncio.Event()
        self._reading = asyncio.Lock()
        self._reader = Reader()

    async def enter(self, subscriber: Subscriber) -> None:
        """Add the subscriber, and return when the hub runs. Raises TimeoutError if it does not within START_SECONDS."""
        self._subscribers.add(subscriber)
        sockets.set(len(self._subscribers))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        async with asyncio.timeout(START_SECONDS):
            await self._ready.wait()

    def sockets_of(self, user_id: int) -> int:
        """Return how many sockets this user has open in this process."""
        return sum(subscriber.visitor.user_id == user_id for subscriber in self._subscribers)

    def leave(self, subscriber: Subscriber) -> None:
        self.part(subscriber, list(subscriber.topics))
        self._subscribers.discard(subscriber)
        sockets.set(len(self._subscribers))

    def join(self, subscriber: Subscriber, topics: list[str]) -> int:
        """Subscribe to these topics: every message after the returned number is offered exactly once."""
        subscriber.topics.update(topics)
        for topic in topics:
            self._watchers.setdefault(topic, set()).add(subscriber)
        return self.position

    def part(self, subscriber: Subscriber, topics: list[str]) -> None:
        subscriber.topics.difference_update(topics)
        for topic in topics:
            watchers = self._watchers.get(topic, set())
            watchers.discard(subscriber)
            if not watchers:
                self._watchers.pop(topic, None)

    async def catch_up(self) -> None:
        """Read and distribute everything that is committed. Raises the database's errors."""
        async with self._reading:
            while rows := await self._reader.run(_numbered, self.position):
                for slot, message in enumerate(rows):
                    if slot % max(1, DELIVERIES // (len(self._subscribers) + 1)) == 0:
                        await asyncio.sleep(0)
                    self._hand_out(message)
                if len(rows) < ROWS:
                    return
            # Nothing new. A lower last number means that an older database was restored.
            if (last := await self._reader.run(numbering.position)) < self.position:
                self._start_again(last)

    def _hand_out(self, message: NumberedMessage) -> None:
        text = encode(message)
        for subscriber in tuple(self._watchers.get(message.topic, ())):
            subscriber.offer(text)
        self.position = message.seq

    def _start_again(self, position: int) -> None:
        log.warning("live_position_lost", was=self.position, now=position)
        self.position = position
        for subscriber in tuple(self._subscribers):
            if subscriber.topics:
                subscriber.offer(json.dumps({"type": "reload", "topics": sorted(subscriber.topics), "seq": position}))

    async def _run(self) -> None:
        helpers = [asyncio.create_task(self._listen()), asyncio.create_task(self._check())]
        try:
            await self._relay()
        finally:
            self._running = None
            self._ready.clear()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._reader.close()

    async def _relay(self) -> None:
        needed = time.monotonic()
        while time.monotonic() < needed + IDLE_SECONDS:
            self._hint.clear()
            try:
                await self._look()
            except Exception as error:  # no error may stop the delivery to all sockets
                log.warning("live_read_failed", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hint.wait(), POLL_SECONDS)
            if self._subscribers:
                needed = time.monotonic()

    async def _look(self) -> None:
        if self._ready.is_set():
            await self.catch_up()
        else:
            self.position = await self._reader.run(_first_position)
            self._ready.set()

    async def _listen(self) -> None:
        async with contextlib.aclosing(hints()) as heard:
            async for _ in heard:
                self._hint.set()

    async def _check(self) -> None:
        pause = CHECK_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                await self.check()
                pause = CHECK_SECONDS
            except Exception as error:  # no error may keep revoked users connected
                log.warning("live_check_failed", error=f"{type(error).__name__}: {error}")
                pause = CHECK_RETRY_SECONDS

    async def check(self) -> None:
        """Close the sockets of users that were signed out, deactivated, or lost a permission that they need."""
        present = tuple(self._subscribers)
        known = await self._reader.run(look_up, {subscriber.credential for subscriber in present})
        for subscriber in present:
            subscriber.update_visitor(known.get(subscriber.credential))

    async def close(self) -> None:
        """Stop at once. The next `enter` starts the hub again."""
        if self._running is not None:
            running = self._running
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def encode(message: NumberedMessage) -> str:
    """Return the message as clients get it; `data` is already JSON text."""
    topic, kind = json.dumps(message.topic), json.dumps(message.type)
    return f'{{"seq": {message.seq}, "topic": {topic}, "type": {kind}, "data": {message.data}}}'


def _numbered(after: int) -> list[NumberedMessage]:
    numbering.number()
    return numbering.read(after, ROWS)


def _first_position() -> int:
    numbering.number_all()
    return numbering.position()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """Return the hub of this process, or more exactly of this event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
