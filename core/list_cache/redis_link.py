"""The list cache's connection to Redis: short timeouts, a pause after repeated failures, and hit counters.

Django's cache is not used: it hides errors, and the list cache must know which replacement failed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.cache import caches
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)

TIMEOUT = 0.2  # seconds; building a list from the database takes about as long
MAX_FAILURES = 3  # in a row: a machine that is busy for a moment must not send every reader to the database
REST_SECONDS = 2.0
FLUSH_SECONDS = 1.0


class CacheStats(NamedTuple):
    """Counts of reads in all processes. `reachable`: whether Redis answered just now. `owed`: see entries.py, 4."""

    hits: int
    misses: int
    bypasses: int
    reachable: bool
    owed: bool

    @property
    def percent(self) -> int:
        """Percentage of reads that were hits, rounded down; 0 without reads."""
        reads = self.hits + self.misses + self.bypasses
        return self.hits * 100 // reads if reads else 0


class Link:
    """A process's connection pool, and its state."""

    def __init__(self) -> None:
        self.failures = 0
        self.rest_until = 0.0
        self.owed = False  # a generation could not be replaced: see entries.py, 4
        self.missed = 0  # number of failed replacements
        self.is_paying = False  # a thread retries the replacement
        self._debts = threading.Lock()
        self._redis: Redis | None = None

    def client(self) -> Redis | None:
        """Return the connection, or None during the pause after failures."""
        return None if time.monotonic() < self.rest_until else self.connection()

    def connection(self) -> Redis:
        """Return the connection, also during the pause."""
        if self._redis is None:
            options: dict[str, Any] = {"socket_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
            if urlsplit(settings.REDIS_URL).scheme != "unix":
                options["socket_connect_timeout"] = TIMEOUT
            self._redis = Redis.from_url(settings.REDIS_URL, **options)
        return self._redis

    def failed(self, error: Exception) -> None:
        """Record a failure; after MAX_FAILURES in a row, pause for REST_SECONDS."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.failures, self.rest_until = 0, time.monotonic() + REST_SECONDS
        log.warning("list_cache_away", error=f"{type(error).__name__}: {error}")

    def owes(self) -> bool:
        """Record a failed replacement; return whether the caller has to start the retries."""
        with self._debts:
            self.owed, self.missed = True, self.missed + 1
            is_first, self.is_paying = not self.is_paying, True
        return is_first

    def pays(self, missed: int) -> None:
        """Record a successful replacement that began when `missed` had failed: later failures are still owed."""
        with self._debts:
            self.owed = missed < self.missed

    def is_even(self) -> bool:
        """Return whether nothing is owed. If so, record that the retries end."""
        with self._debts:
            self.is_paying = self.owed
        return not self.owed

    def forget(self) -> None:
        """Reset to the current settings: for tests that move Redis."""
        self.__init__()  # type: ignore[misc]


link = Link()
_lock = threading.Lock()
_unsaved: Counter[str] = Counter()
_saved_at = 0.0


def counted(what: str) -> None:
    """Count a hit, a miss or a bypass; every FLUSH_SECONDS add the counts to the totals in Redis."""
    global _saved_at
    with _lock:
        _unsaved[what] += 1
        if time.monotonic() - _saved_at < FLUSH_SECONDS:
            return
        _saved_at = time.monotonic()
    _save()


def stats() -> CacheStats:
    """Return the counts. If Redis is unreachable, only those that this process has not yet sent."""
    _save()
    found: dict[bytes, bytes] = {}
    try:
        found = dict(link.connection().hgetall(_name()))  # type: ignore[arg-type]
        reachable = True
    except (RedisError, OSError):
        reachable = False
    with _lock:
        total = {what: int(found.get(what.encode(), 0)) + _unsaved[what] for what in ("hits", "misses", "bypasses")}
    return CacheStats(**total, reachable=reachable, owed=link.owed)


def reset() -> None:
    """Reset all counts to zero."""
    with _lock:
        _unsaved.clear()
    try:
        link.connection().delete(_name())
    except (RedisError, OSError) as error:
        link.failed(error)


def _save() -> None:
    redis = link.client()
    if redis is None:
        return
    with _lock:
        taken = Counter(_unsaved)
        _unsaved.clear()
    try:
        pipeline = redis.pipeline(transaction=False)
        for what, number in taken.items():
            pipeline.hincrby(_name(), what, number)
        pipeline.execute()
    except (RedisError, OSError) as error:
        link.failed(error)
        with _lock:
            _unsaved.update(taken)


def _name() -> str:
    return str(caches["default"].make_key("lists:counts"))
