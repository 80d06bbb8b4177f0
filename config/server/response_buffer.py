"""Buffer for a response: filled by a thread, sent by the event loop, in memory or in a file.

A thread puts parts without waiting, up to MAX_RESPONSE_BYTES unsent bytes, which only a stream exceeds. A stream's
thread, which is in its own pool, then waits for the client, which must take some bytes every WAIT_TIMEOUT seconds. All
responses of the process together may buffer MAX_TOTAL_BYTES; beyond that, the response is cut whose client has taken
nothing for the longest time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from tempfile import SpooledTemporaryFile

import structlog

log = structlog.get_logger(__name__)

IN_MEMORY = 256 * 1024  # bytes of one response; a larger one goes to a file
AT_ONCE = 64 * 1024  # bytes per send
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024
WAIT_TIMEOUT = 30.0  # seconds


class HungUp(Exception):
    """The client has disconnected, or does not read."""


class ResponseBuffer:
    """FIFO buffer of one response's bytes. The thread calls `put` and `end`, the event loop everything else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self._changed = threading.Condition()
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  closed in close()
        self._taken = self._written = 0
        self._ended = self.is_cut = False
        self.taken_at = time.monotonic()

    @property
    def size(self) -> int:
        return self._written - self._taken

    def put(self, part: bytes) -> None:
        """Add a part. Raises HungUp if nothing more will be sent."""
        with self._changed:
            if self.is_cut:
                raise HungUp
            self._file.seek(self._written)
            self._file.write(part)
            self._written += len(part)
            slowest = _all.grow(self, len(part))
        if slowest is not None:
            slowest.cut()
        self._tell()
        if self.size > MAX_RESPONSE_BYTES:
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        with self._changed:
            room = self._changed.wait_for(
                lambda: self.is_cut or self.size <= MAX_RESPONSE_BYTES - AT_ONCE, WAIT_TIMEOUT
            )
        if not room or self.is_cut:
            self.cut()
            raise HungUp

    def end(self) -> None:
        """Mark the end of the response."""
        self._ended = True
        self._tell()

    def cut(self) -> None:
        """Stop sending. Any thread may call this."""
        with self._changed:
            self.is_cut = True
            self._changed.notify_all()
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has stopped, so `take` is not waiting
            self._loop.call_soon_threadsafe(self._news.set)

    async def take(self) -> bytes:
        """Wait for the next bytes, at most AT_ONCE; return b"" at the end. Raises HungUp."""
        while True:
            self._news.clear()
            ended = self._ended  # read before `_next`, so that parts put before the end are not missed
            if self.is_cut:
                raise HungUp
            if part := self._next():
                return part
            if ended:
                return b""
            await self._news.wait()

    def _next(self) -> bytes:
        with self._changed:
            if not self.size:
                return b""
            self._file.seek(self._taken)
            part = self._file.read(AT_ONCE)
            self._taken += len(part)
            self.taken_at = time.monotonic()
            if not self.size:  # reuse the space for a client that keeps up
                self._file.seek(0)
                self._file.truncate()
                self._taken = self._written = 0
            self._changed.notify_all()
            _all.shrink(self, len(part))
        return part

    def close(self) -> None:
        self.cut()
        with self._changed:
            _all.shrink(self, self.size)
            self._taken = self._written
            self._file.close()


class _All:
    """All outboxes of this process that contain bytes.

    Called under the outbox's own lock, so that no part is counted after it was sent. So no method locks an outbox.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: dict[ResponseBuffer, int] = {}
        self._size = 0

    def grow(self, outbox: ResponseBuffer, size: int) -> ResponseBuffer | None:
        """Count added bytes; return the outbox that must be cut if the total is too large."""
        with self._lock:
            self._size += size
            self._sizes[outbox] = self._sizes.get(outbox, 0) + size
            if self._size <= MAX_TOTAL_BYTES:
                return None
            slowest = min(self._sizes, key=lambda one: one.taken_at)
            unsent = self._sizes.pop(slowest)
            self._size -= unsent
        log.warning("answer_cut", reason="too much waits to be sent", unsent=unsent)
        return slowest

    def shrink(self, outbox: ResponseBuffer, size: int) -> None:
        with self._lock:
            held = self._sizes.pop(outbox, 0)  # 0 if it was cut
            self._size -= min(size, held)
            if held > size:
                self._sizes[outbox] = held - size


_all = _All()
