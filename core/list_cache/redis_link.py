"""The list cache's own line to Redis: short timeouts, a rest after each failure, and a count of what came of it.

Not Django's cache: that one forgives and forgets, and the list cache must know what it did not reach.
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

TIMEOUT = 0.2  # seconds; a list from the database takes about as long
MAX_FAILURES = 3  # in a row: a machine that is busy for a moment must not send every reader to the database
REST_SECONDS = 2.0
FLUSH_SECONDS = 1.0


class CacheStats(NamedTuple):
    """What became of the reads so far, over all processes; `reachable` is whether Redis could be asked just now."""

    hits: int
    misses: int
    bypasses: int
    reachable: bool
    owed: bool

    @property
    def percent(self) -> int:
        """The share of reads that were hits, rounded down; 0 where there were none."""
        reads = self.hits + self.misses + self.bypasses
        return self.hits * 100 // reads if reads else 0


class Link:
    """One pool of connections a process, and what it knows about the other end."""

    def __init__(self) -> None:
        self.failures = 0
        self.rest_until = 0.0
        self.owed = False  # a generation that could not be replaced: see list_cache, 4
        self.missed = 0  # how often it could not
        self.is_paying = False  # somebody tries again and again
        self._debts = threading.Lock()
        self._redis: Redis | None = None

    def client(self) -> Redis | None:
        """Return the connection, or None while it rests after a failure."""
        return None if time.monotonic() < self.rest_until else self.connection()

    def connection(self) -> Redis:
        """Return the connection, rest or not."""
        if self._redis is None:
            options: dict[str, Any] = {"socket_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
            if urlsplit(settings.REDIS_URL).scheme != "unix":
                options["socket_connect_timeout"] = TIMEOUT
            self._redis = Redis.from_url(settings.REDIS_URL, **options)
        return self._redis

    def failed(self, error: Exception) -> None:
        """Note a failure; after several in a row, ask nobody for a while."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.failures, self.rest_until = 0, time.monotonic() + REST_SECONDS
        log.warning("list_cache_away", error=f"{type(error).__name__}: {error}")

    def owes(self) -> bool:
        """Note a replacement that failed; return whether it is the caller who has to see to it."""
        with self._debts:
            self.owed, self.missed = True, self.missed + 1
            is_first, self.is_paying = not self.is_paying, True
        return is_first

    def pays(self, missed: int) -> None:
        """Note a replacement that was begun when so many had failed: what has failed since then is still owed."""
        with self._debts:
            self.owed = missed < self.missed

    def is_even(self) -> bool:
        """Return whether nothing is owed any more, and that nobody tries again then."""
        with self._debts:
            self.is_paying = self.owed
        return not self.owed

    def forget(self) -> None:
        """Start afresh, with the settings of this moment: for tests that move the other end."""
        self.__init__()  # type: ignore[misc]


link = Link()
_lock = threading.Lock()
_unsaved: Counter[str] = Counter()
_saved_at = 0.0


def counted(what: str) -> None:
    """Count a hit, a miss or a bypass; now and then add the counts to those of all processes."""
    global _saved_at
    with _lock:
        _unsaved[what] += 1
        if time.monotonic() - _saved_at < FLUSH_SECONDS:
            return
        _saved_at = time.monotonic()
    _save()


def stats() -> CacheStats:
    """Return the counts. Where Redis is away, only what this process has not told it yet."""
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
    """Count from nothing again."""
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
