"""Limits for requests in progress: their number, their total weight, and the duration of each.

One timer serves all requests, with a precision of a tenth of a second. A separate timer for each step of each request
was a third of the cost of a request.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType

SWEEP_INTERVAL = 0.1  # seconds; the precision of timeouts


class LimitExceeded(Exception):
    """A limit for all requests together is exceeded."""


class OwnerLimitExceeded(LimitExceeded):
    """The limit of one owner is exceeded. Other owners still have room."""


class OwnerUsage:
    """The number and weight of the requests in progress of one owner."""

    __slots__ = ("running", "weight")

    def __init__(self) -> None:
        self.running = self.weight = 0


class RequestLimits:
    """The limits of all requests together, and the timer that cancels requests at their timeout.

    `max_requests` limits the requests in progress, and `max_weight` their total weight. `max_requests_per_owner` and
    `max_weight_per_owner` are the same limits for a single owner.
    """

    def __init__(
        self,
        *,
        max_requests: float = math.inf,
        max_weight: float = math.inf,
        max_requests_per_owner: float = math.inf,
        max_weight_per_owner: float = math.inf,
    ) -> None:
        self.max_requests, self.max_weight = max_requests, max_weight
        self.max_requests_per_owner, self.max_weight_per_owner = max_requests_per_owner, max_weight_per_owner
        self.weight = 0
        self.owners: dict[int, OwnerUsage] = {}
        self.running: set[Limit] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> Limit:
        """Return a context manager that limits the current task to `seconds`. Raises LimitExceeded, TimeoutError."""
        return Limit(self, seconds)

    def enter(self, limit: Limit) -> None:
        if len(self.running) >= self.max_requests:
            raise LimitExceeded
        self.running.add(limit)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    def leave(self, limit: Limit) -> None:
        self.running.discard(limit)
        self.weight -= limit.weight
        if limit.owner is not None:
            owned = self.owners[limit.owner]
            owned.running -= 1
            owned.weight -= limit.weight
            if not owned.running:
                del self.owners[limit.owner]

    def _sweep(self) -> None:
        now = time.monotonic()
        for limit in [limit for limit in self.running if limit.until < now]:
            limit.expire()
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep) if self.running else None


class Limit:
    __slots__ = ("_error", "_expired", "_limits", "_task", "owner", "until", "weight")

    def __init__(self, limits: RequestLimits, seconds: float) -> None:
        self._limits, self._expired, self.weight = limits, False, 0
        self.owner: int | None = None
        self._task: asyncio.Task[object] | None = None
        self.renew(seconds)

    def renew(self, seconds: float, error: Callable[[], Exception] = TimeoutError) -> None:
        """Restart the timeout: after `seconds` from now, raise this error."""
        self.until, self._error = time.monotonic() + seconds, error

    def assign_owner(self, owner: int) -> None:
        """Count this request and its weight for this owner from now on. Raises OwnerLimitExceeded."""
        owned = self._limits.owners.setdefault(owner, OwnerUsage())
        self.owner = owner
        owned.running += 1
        owned.weight += self.weight
        if owned.running > self._limits.max_requests_per_owner:
            raise OwnerLimitExceeded

    def add(self, weight: int) -> None:
        """Add to the weight of this request, until it ends. Raises LimitExceeded, OwnerLimitExceeded."""
        if self._limits.weight + weight > self._limits.max_weight:
            raise LimitExceeded
        if self.owner is not None:
            owned = self._limits.owners[self.owner]
            if owned.weight + weight > self._limits.max_weight_per_owner:
                raise OwnerLimitExceeded
            owned.weight += weight
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
        # Like asyncio.timeout(): the cancellation becomes the error, unless the task was also cancelled elsewhere.
        if self._expired and self._task is not None and self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise self._error() from error
