"""Django's Redis cache that tolerates an unreachable Redis: requests are slower, but do not fail.

After a failure this process does not contact the same Redis for RETRY_INTERVAL, and then with one caller only. So
timeouts do not add up, neither within one request nor over many.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent

AWAY = (RedisAway, RedisSilent, OSError)
RETRY_INTERVAL = 5.0
_rests: dict[str, float] = {}  # by server address: monotonic time until which it is not contacted
log = structlog.get_logger(__name__)


def _or(default: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a cache method: after a Redis error, return what an empty cache would return."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def forgiving(self: Any, *args: Any, **kwargs: Any) -> Any:
            server, now = self._servers[0], time.monotonic()
            if now < _rests.get(server, 0.0):
                return default(*args, **kwargs)
            if server in _rests:  # it failed before: only this caller tests it
                _rests[server] = now + RETRY_INTERVAL
            try:
                answer = method(self, *args, **kwargs)
            except (RedisError, OSError) as error:
                if isinstance(error, AWAY):
                    _rests[server] = time.monotonic() + RETRY_INTERVAL
                log.warning("cache_away", error=str(error))
                return default(*args, **kwargs)
            _rests.pop(server, None)
            return answer

        return forgiving

    return decorate


class ForgivingRedisCache(RedisCache):
    """Redis cache where an error is a miss on reading and a lost write on writing.

    `add` returns True after an error: its callers use it as a rate limit, and running once more is harmless.
    """

    get = _or(lambda key, default=None, version=None: default)(RedisCache.get)
    get_many = _or(lambda keys, version=None: {})(RedisCache.get_many)
    set = _or(lambda *args, **kwargs: None)(RedisCache.set)
    set_many = _or(lambda data, *args, **kwargs: list(data))(RedisCache.set_many)
    add = _or(lambda *args, **kwargs: True)(RedisCache.add)
    touch = _or(lambda *args, **kwargs: False)(RedisCache.touch)
    delete = _or(lambda *args, **kwargs: False)(RedisCache.delete)
    delete_many = _or(lambda *args, **kwargs: None)(RedisCache.delete_many)
    has_key = _or(lambda *args, **kwargs: False)(RedisCache.has_key)
    incr = _or(lambda key, delta=1, version=None: delta)(RedisCache.incr)
    clear = _or(lambda *args, **kwargs: False)(RedisCache.clear)
