"""Rate limit: a token bucket per application, in each process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class ApplicationRateLimit:
    """Token buckets, one per application, each with a capacity of one second of the application's rate.

    A request may take more tokens than the bucket has, because it is never split. The bucket then has a negative
    balance, and the application must wait until the balance is positive again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}  # (tokens, at this time)

    def wait(self, application: int, rate: int) -> int:
        """Return the whole seconds until this application may send again; 0 if it may send now."""
        left = self._left(application, rate) if rate else 1
        return 0 if left > 0 else max(1, math.ceil(-left / rate))

    def take(self, application: int, rate: int, events: int) -> None:
        if rate:
            self._buckets[application] = self._left(application, rate) - events, self._clock()

    def _left(self, application: int, rate: int) -> float:
        now = self._clock()
        left, then = self._buckets.get(application, (float(rate), now))
        return min(float(rate), left + (now - then) * rate)
