"""The list cache's connection to Redis: short timeouts, and a pause after repeated failures.

Django's cache is not used: it hides errors, and the list cache must know which invalidation failed.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.cache import caches
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)

AWAY = (RedisError, OSError)
TIMEOUT = 0.2  # seconds; building a list from the database takes about as long
MAX_FAILURES = 3  # in a row: a machine that is busy for a moment must not send every reader to the database
PAUSE_SECONDS = 2.0


class RedisLink:
    """A process's connection pool, and its recent failures."""

    def __init__(self) -> None:
        self.failures = 0
        self.paused_until = 0.0
        self._redis: Redis | None = None

    def client(self) -> Redis | None:
        """Return the connection, or None during the pause after failures."""
        return None if time.monotonic() < self.paused_until else self.connection()

    def connection(self) -> Redis:
        """Return the connection, also during the pause."""
        if self._redis is None:
            options: dict[str, Any] = {"socket_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
            if urlsplit(settings.REDIS_URL).scheme != "unix":
                options["socket_connect_timeout"] = TIMEOUT
            self._redis = Redis.from_url(settings.REDIS_URL, **options)
        return self._redis

    def record(self, error: Exception) -> None:
        """Record a failure; after MAX_FAILURES in a row, pause for PAUSE_SECONDS."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.failures, self.paused_until = 0, time.monotonic() + PAUSE_SECONDS
        log.warning("list_cache_away", error=f"{type(error).__name__}: {error}")

    def forget(self) -> None:
        """Reset to the current settings: for tests that move Redis."""
        self.__init__()  # type: ignore[misc]


link = RedisLink()


def key_name(name: str) -> str:
    """Return the name of one of the list cache's keys, with the prefix of all keys of this installation."""
    return str(caches["default"].make_key(f"lists:{name}"))
