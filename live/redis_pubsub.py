"""Hints through Redis Pub/Sub, after which hubs read the outbox at once. Hints carry no data, so no data can be lost.

Without Redis, or if it hangs, hubs read once a second (live/hub.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache

import redis.asyncio
import structlog
from django.conf import settings
from prometheus_client import Counter
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)

TIMEOUT = 0.2  # seconds per step; with the retry, a publisher loses less than half a second
REST_SECONDS = 5.0  # pause of sending after a failure
SILENCE_TIMEOUT = 10.0  # seconds without a hint after which a listener pings Redis
RECONNECT = 1.0  # seconds
failures = Counter("opsroom_live_hint_failures", "Hints that could not be sent; hubs look by themselves a second later")

_rest_until = 0.0


def channel() -> str:
    """Return this installation's Pub/Sub channel, named by the cache's prefix: channels ignore database numbers."""
    return f"{settings.CACHES['default']['KEY_PREFIX']}:live"


@cache
def _client() -> Redis:
    connect = {"socket_connect_timeout": TIMEOUT} if "socket_connect_timeout" in settings.REDIS_TIMEOUTS else {}
    # One retry, because a pooled connection may be stale.
    return Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1), **connect)


def send_hint() -> None:
    """Send a hint to all hubs. Never raises; takes half a second at most; pauses for REST_SECONDS after a failure."""
    global _rest_until
    if time.monotonic() < _rest_until:
        return
    try:
        _client().publish(channel(), "")
    except (RedisError, OSError) as error:
        _rest_until = time.monotonic() + REST_SECONDS
        failures.inc()
        log.warning("live_hint_failed", error=f"{type(error).__name__}: {error}")


async def hints() -> AsyncGenerator[None, None]:
    """Yield at every hint, and whenever hints may have been missed. Never ends, also without Redis."""
    while True:
        try:
            async with aclosing(_listen()) as heard:
                async for _ in heard:
                    yield
        except (RedisError, OSError) as error:
            log.info("live_hints_away", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(RECONNECT)


async def _listen() -> AsyncGenerator[None, None]:
    # No read timeout, because a listener is normally idle. Instead it pings after SILENCE_TIMEOUT.
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=2)
    async with client, client.pubsub() as pubsub:
        await pubsub.subscribe(channel())
        asked = False
        while True:
            heard = await pubsub.get_message(timeout=SILENCE_TIMEOUT)
            if heard is not None:
                asked = False
                yield
            elif asked:
                raise TimeoutError("Redis does not answer")
            else:
                await pubsub.ping()
                asked = True
