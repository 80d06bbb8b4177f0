"""A socket as the hub sees it: a bounded queue, and a writer task that empties it. A slow reader is disconnected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter

from live.access import Credential, Visitor
from live.uvicorn_fast_path import Wire

log = structlog.get_logger(__name__)

MAX_QUEUE_LENGTH = 200  # messages
SEND_TIMEOUT = 20.0  # seconds to send one message
CLOSE_TIMEOUT = 2.0  # seconds to send the close frame
ABORT_TIMEOUT = 12.0  # seconds after which a closed connection is aborted if the peer has not closed it either

SIGNED_OUT, FORBIDDEN, TOO_SLOW, TOO_MANY, TOO_BIG, NOT_TEXT, TRY_LATER = 4401, 4403, 4408, 4429, 1009, 1003, 1013
TOO_MANY_SOCKETS = 4409
dropped = Counter("opsroom_live_dropped", "Sockets that the server closed, by close code", ["code"])


class Subscriber:
    """One socket's queue. `send` and `close` write to the socket and may wait for the peer; `wire` never waits."""

    def __init__(
        self,
        credential: Credential,
        visitor: Visitor,
        *,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int, str], Awaitable[None]],
        wire: Wire,
    ) -> None:
        self.credential = credential
        self.visitor = visitor
        self.topics: set[str] = set()
        self._send, self._close, self._wire = send, close, wire
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_QUEUE_LENGTH)
        self._held: list[str] | None = None
        self._sending = self._gone = False
        self._ending: asyncio.Task[None] | None = None
        self._writer = asyncio.create_task(self._write())

    def offer(self, text: str) -> None:
        """Accept a live message without waiting. A socket with MAX_QUEUE_LENGTH unread messages is closed."""
        if self._gone:
            return
        if self._idle() and self._wire.write(text):
            return
        if self._held is None and not self._queue.full():
            self._queue.put_nowait(text)
        elif self._held is not None and len(self._held) < MAX_QUEUE_LENGTH:
            self._held.append(text)
        else:
            self.drop(TOO_SLOW, "too slow")

    def _idle(self) -> bool:
        return self._held is None and not self._sending and self._queue.empty()

    async def answer(self, message: dict[str, object]) -> None:
        """Queue an answer, waiting for room: a client that does not read its answers has to wait with requests too."""
        await self.put(json.dumps(message))

    async def put(self, text: str) -> None:
        if not self._gone:
            await self._queue.put(text)

    def hold(self) -> None:
        """Hold live messages back until `release`, because older ones must be sent first."""
        self._held = []

    async def release(self) -> None:
        """Queue the held messages, and those that arrive meanwhile, in order."""
        while self._held:
            await self.put(self._held.pop(0))
        self._held = None

    def update_visitor(self, visitor: Visitor | None) -> None:
        """Apply the current state of the user: close the socket if signed out, or if a permission was withdrawn."""
        if visitor is None:
            self.drop(SIGNED_OUT, "signed out")
            return
        self.visitor = visitor
        if not all(visitor.may_watch(topic) for topic in self.topics):
            self.drop(FORBIDDEN, "permission withdrawn")

    def drop(self, code: int, reason: str) -> None:
        """Close the socket from the server's side, without waiting."""
        if self._gone:
            return
        dropped.labels(code=code).inc()
        log.info("live_dropped", code=code, reason=reason, user=self.visitor.user_id)
        self.stop()
        self._ending = asyncio.create_task(self._end(code, reason))

    def stop(self) -> None:
        """Stop writing, and discard the queue."""
        self._gone = True
        self._writer.cancel()
        while not self._queue.empty():  # a caller that waits for room continues
            self._queue.get_nowait()

    async def _write(self) -> None:
        try:
            while True:
                text = await self._queue.get()
                self._sending = True
                async with asyncio.timeout(SEND_TIMEOUT):
                    await self._send(text)
                self._sending = False
        except TimeoutError:
            self.drop(TOO_SLOW, "too slow")
        except OSError:
            self.stop()  # the peer has closed the connection; the consumer is notified by itself

    async def _end(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._close(code, reason)
        except (OSError, RuntimeError):  # TimeoutError is an OSError: not even the close frame could be sent
            self._wire.abort()
        else:
            # The server waits for unsent bytes before it closes a connection, without limit.
            asyncio.get_running_loop().call_later(ABORT_TIMEOUT, self._wire.abort)
