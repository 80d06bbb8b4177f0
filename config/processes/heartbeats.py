"""Heartbeats in Redis: each process writes one every few seconds. They are lost with Redis, and rewritten in seconds.

A process is identified by its kind, host and pid. A process that ends normally removes its heartbeat. A process that
replaces a killed one on the same host removes the dead one's heartbeat; on another host (a recreated container) it
stays until it is MAX_AGE seconds old, and /health/ reports that process as missing for that long.

The loops that prove progress do not wait for Redis: a thread writes the heartbeat. Its waits end after TIMEOUT, but
resolving the name of Redis' host may take a minute if no name server responds. After a failure this process does not
retry for RETRY_INTERVAL.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import cache as once
from typing import cast

from django.conf import settings
from django.core.cache import cache
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

KINDS = ("web", "worker", "runner", "beat")
TIMEOUT = 0.3  # seconds
RETRY_INTERVAL = 10.0
MAX_AGE = 300.0  # seconds

_rest_until = 0.0
_is_first = True  # until this process has written a heartbeat
_writing: threading.Thread | None = None


@dataclass(frozen=True)
class Heartbeat:
    """The last heartbeat of a process."""

    kind: str
    host: str
    pid: int
    age: float  # seconds

    @property
    def name(self) -> str:
        return f"{self.kind}@{self.host}/{self.pid}"


def write_heartbeat_soon(kind: str) -> None:
    """Write a heartbeat in a thread, unless the previous one is still being written."""
    global _writing
    if _writing is None or not _writing.is_alive():
        _writing = threading.Thread(target=write_heartbeat, args=(kind,), name="sign", daemon=True)
        _writing.start()


def write_heartbeat(kind: str) -> None:
    """Record that this process is alive now. Never raises."""
    global _is_first
    if _is_first and _quietly("ping"):
        _replace_the_dead(kind)
        _is_first = False
    _quietly("hset", _key(), _field(kind, os.getpid()), str(time.time()))


def remove_heartbeat(kind: str) -> None:
    """Remove the heartbeat of this process, which is ending normally. Never raises."""
    if _writing is not None:
        _writing.join(TIMEOUT)  # otherwise it might write a heartbeat afterwards
    _quietly("hdel", _key(), _field(kind, os.getpid()))


def all_heartbeats() -> list[Heartbeat]:
    """Return all heartbeats younger than MAX_AGE seconds, by kind, youngest first. Raises RedisError."""
    found = []
    now = time.time()
    for field, at in _all().items():
        kind, host, pid = field.split("|")
        found.append(Heartbeat(kind, host, int(pid), max(0.0, now - float(at))))
    found.sort(key=lambda sign: (sign.kind, sign.age))
    return [sign for sign in found if sign.age < MAX_AGE]


def heartbeat_age(kind: str, host: str | None = None) -> float | None:
    """Return the age in seconds of the youngest heartbeat of this kind, on `host` or anywhere; None without one."""
    with contextlib.suppress(RedisError, OSError):
        ages = [sign.age for sign in all_heartbeats() if sign.kind == kind and host in (None, sign.host)]
        return min(ages, default=None)
    return None


def _replace_the_dead(kind: str) -> None:
    """Remove the heartbeats of dead processes of this kind on this host, and all that are older than MAX_AGE."""
    here, dead = socket.gethostname(), []
    with contextlib.suppress(RedisError, OSError):
        for field, at in _all().items():
            that_kind, host, pid = field.split("|")
            is_ours = (that_kind, host) == (kind, here) and not _exists(int(pid))
            if is_ours or time.time() - float(at) > MAX_AGE:
                dead.append(field)
        if dead:
            _client().hdel(_key(), *dead)


def _all() -> dict[str, str]:
    return cast(dict[str, str], _client().hgetall(_key()))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _quietly(command: str, *arguments: str) -> bool:
    """Send a command, unless one failed within RETRY_INTERVAL; return whether Redis answered."""
    global _rest_until
    if time.monotonic() < _rest_until:
        return False
    try:
        getattr(_client(), command)(*arguments)
    except (RedisError, OSError):
        _rest_until = time.monotonic() + RETRY_INTERVAL
        return False
    return True


def _field(kind: str, pid: int) -> str:
    return f"{kind}|{socket.gethostname()}|{pid}"


def _key() -> str:
    return str(cache.make_key("heartbeats"))


@once
def _client() -> Redis:
    connect = {"socket_connect_timeout": TIMEOUT} if "socket_connect_timeout" in settings.REDIS_TIMEOUTS else {}
    # One retry, because a pooled connection may be stale.
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1), decode_responses=True, **connect
    )
