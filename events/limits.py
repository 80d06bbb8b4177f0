"""asyncio.timeout() for thousands of requests: one timer for all of them, a tenth of a second exact.

A timer of its own for each step of each request was a third of what a request cost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

EXACT = 0.1  # seconds


class Limits:
    """Hands out limits of time, and ends what exceeds them."""

    def __init__(self) -> None:
        self._running: set[Limit] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> Limit:
        """Return a context in which the current task may stay for so long. It raises TimeoutError."""
        return Limit(self, seconds)

    def enter(self, limit: Limit) -> None:
        self._running.add(limit)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(EXACT, self._sweep)

    def leave(self, limit: Limit) -> None:
        self._running.discard(limit)

    def _sweep(self) -> None:
        now = time.monotonic()
        for limit in [limit for limit in self._running if limit.until < now]:
            limit.expire()
        self._sweeping = asyncio.get_running_loop().call_later(EXACT, self._sweep) if self._running else None


class Limit:
    __slots__ = ("_error", "_expired", "_limits", "_task", "until")

    def __init__(self, limits: Limits, seconds: float) -> None:
        self._limits, self._expired = limits, False
        self._task: asyncio.Task[object] | None = None
        self.renew(seconds)

    def renew(self, seconds: float, error: Callable[[], Exception] = TimeoutError) -> None:
        """Begin anew: so much from now on, and then this error."""
        self.until, self._error = time.monotonic() + seconds, error

    def expire(self) -> None:
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> Limit:
        self._task = asyncio.current_task()
        self._limits.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._limits.leave(self)
        # As asyncio.timeout() does: unless somebody else has cancelled the task, too.
        if self._expired and self._task is not None and self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise self._error() from error
