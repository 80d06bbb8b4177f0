"""How much an application may send: a token bucket each, in each process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Buckets:
    """Holds a second's worth of each application's rate. Who takes more than there is, as a batch may, owes it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}  # how much, at what time

    def wait(self, application: int, rate: int) -> int:
        """Return the seconds until this application may send again; 0 if it may."""
        left = self._left(application, rate) if rate else 1
        return 0 if left > 0 else max(1, math.ceil(-left / rate))

    def take(self, application: int, rate: int, events: int) -> None:
        if rate:
            self._buckets[application] = self._left(application, rate) - events, self._clock()

    def _left(self, application: int, rate: int) -> float:
        now = self._clock()
        left, then = self._buckets.get(application, (float(rate), now))
        return min(float(rate), left + (now - then) * rate)
