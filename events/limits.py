"""What may be under way: so many at once, so much together, and each for so long.

One timer serves all of them, and is exact to a tenth of a second: a timer of its own for each step of each request was
a third of what a request cost.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType

EXACT = 0.1  # seconds


class TooMuch(Exception):
    """More than may be under way."""


class Limits:
    """Hands out limits, ends what takes longer, and refuses what would be too much."""

    def __init__(self, *, most: float = math.inf, heaviest: float = math.inf) -> None:
        self.most, self.heaviest = most, heaviest
        self.weight = 0
        self.running: set[Limit] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> Limit:
        """Return a context in which the current task may stay for so long. It raises TooMuch, or TimeoutError."""
        return Limit(self, seconds)

    def enter(self, limit: Limit) -> None:
        if len(self.running) >= self.most:
            raise TooMuch
        self.running.add(limit)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(EXACT, self._sweep)

    def leave(self, limit: Limit) -> None:
        self.running.discard(limit)
        self.weight -= limit.weight

    def _sweep(self) -> None:
        now = time.monotonic()
        for limit in [limit for limit in self.running if limit.until < now]:
            limit.expire()
        self._sweeping = asyncio.get_running_loop().call_later(EXACT, self._sweep) if self.running else None


class Limit:
    __slots__ = ("_error", "_expired", "_limits", "_task", "until", "weight")

    def __init__(self, limits: Limits, seconds: float) -> None:
        self._limits, self._expired, self.weight = limits, False, 0
        self._task: asyncio.Task[object] | None = None
        self.renew(seconds)

    def renew(self, seconds: float, error: Callable[[], Exception] = TimeoutError) -> None:
        """Begin anew: so much time from now on, and then this error."""
        self.until, self._error = time.monotonic() + seconds, error

    def add(self, weight: int) -> None:
        """Weigh so much more, until the end. Raises TooMuch."""
        if self._limits.weight + weight > self._limits.heaviest:
            raise TooMuch
        self.weight += weight
        self._limits.weight += weight

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
