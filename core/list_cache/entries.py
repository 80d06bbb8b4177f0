"""Redis cache for the bodies of project and task lists, invalidated by a generation instead of key deletion.

The cache never raises. It serves an outdated list only in the two cases of 3 and 4.

1. All bodies belong to a generation: a random word in its own key. A reader reads the generation, then queries the
   database, then stores the body marked with that generation. A stored body is valid only while its mark equals the
   current generation; one command reads both at the same moment.
2. A writer commits, then replaces the generation, and only then publishes live messages. A slow reader that stores its
   body after that marks it with the old generation, so it is never served: an outdated body cannot come back. (A cache
   that deletes keys has this race: read old, commit, delete, store old.)
3. A writer that is killed between commit and invalidation leaves outdated bodies readable, for at most MAX_AGE.
4. Redis unreachable: readers query the database, and after a few failures this process does not contact Redis for a
   while. After an invalidation that failed, this process bypasses the cache and retries every RETRY_INTERVAL until one
   has succeeded; it also asks a worker to invalidate, in case it is killed. Other processes do not know of this, and
   may serve an outdated body for that long after Redis is back.
5. Many readers of one list that is not cached: the first in each process queries the database, and the others wait for
   its body, at most WAIT_TIMEOUT, and then query the database themselves.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

from django.db import transaction

from core.list_cache.counts import count
from core.list_cache.redis_link import AWAY, key_name, link
from core.wake import wake

MAX_AGE = 60.0  # seconds; the longest time a list may be outdated if its writer was killed, see 3
JITTER = 15.0  # seconds; random reduction of MAX_AGE, so that bodies stored together do not expire together
RETRY_INTERVAL = 0.5  # seconds
WAIT_TIMEOUT = 0.2  # seconds to wait for another reader's body
MAX_ENTRY_BYTES = 256 * 1024


class CachedList(NamedTuple):
    """The bytes of a list and their ETag."""

    body: bytes
    etag: str


def cache_key(*, kind: str, scope: str, query: str) -> str:
    """Return the cache key of a list's body.

    `kind` names the list, `scope` what the reader may see, `query` everything else that the body depends on: filters,
    order, page, host.
    """
    digest = hashlib.sha256("\x00".join([kind, scope, query]).encode()).hexdigest()
    return key_name(f"body:{digest}")


def peek(key: str) -> CachedList | None:
    """Return the list's body if it is cached and valid, else None. Never raises."""
    found = _look_up(key)
    if found is None or found.cached is None:
        return None
    count("hits")
    return found.cached


def get_or_build(key: str, build: Callable[[], bytes]) -> CachedList:
    """Return the list's body from Redis or from `build`. Raises only what `build` raises."""
    found = _look_up(key)
    if found is None:
        return build_uncached(build)
    if found.cached is not None:
        count("hits")
        return found.cached
    return _build_once(key, found.generation, build)


def build_uncached(build: Callable[[], bytes]) -> CachedList:
    """Return the list's body from `build`, bypassing the cache."""
    return _build(build, "bypasses")


def invalidate() -> None:
    """Invalidate all lists when the current transaction commits, or at once outside a transaction."""
    connection = transaction.get_connection()
    # A bulk change calls this for every row; once per transaction is enough.
    if any(waiting[1] is invalidate_now for waiting in connection.run_on_commit):
        return
    transaction.on_commit(invalidate_now, robust=True)
    if connection.run_on_commit:  # must run first: a client that gets the live message requests the list at once
        connection.run_on_commit.insert(0, connection.run_on_commit.pop())


def invalidate_now() -> None:
    """Invalidate all lists now, or retry until that succeeds. Harmless at any time."""
    if not _replace_generation():
        retry.start()


def _replace_generation() -> bool:
    try:
        link.connection().set(key_name("generation"), uuid4().hex)
    except AWAY as error:
        link.record(error)
        return False
    return True


class InvalidationRetry:
    """A thread that retries a failed invalidation. `pending` is True until one has succeeded that began later."""

    def __init__(self) -> None:
        self.pending = False
        self._failures = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self._failures += 1
            is_running, self.pending = self.pending, True
        if not is_running:
            threading.Thread(target=self._run, name="list cache", daemon=True).start()
            wake("core.tasks.retry_invalidation")

    def _run(self) -> None:
        while self.pending:
            time.sleep(RETRY_INTERVAL)
            failures = self._failures
            if _replace_generation():
                with self._lock:
                    self.pending = failures != self._failures  # one that failed meanwhile may have committed later


retry = InvalidationRetry()


class _Found(NamedTuple):
    """Result of a lookup: the generation, and the body of this generation, if any."""

    generation: bytes
    cached: CachedList | None


def _look_up(key: str) -> _Found | None:
    """Look up a key; None if the cache must be bypassed. Creates a generation if none exists."""
    redis = None if retry.pending else link.client()
    if redis is None:
        return None
    name = key_name("generation")
    try:
        generation, stored = redis.mget(name, key)
        if generation is None:
            redis.set(name, uuid4().hex, nx=True)
            generation, stored = redis.mget(name, key)
    except AWAY as error:
        link.record(error)
        return None
    link.failures = 0
    return _Found(generation, _unpack(stored, generation)) if isinstance(generation, bytes) else None


class _Build:
    """A body that one thread of this process builds for all threads that want it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: CachedList | None = None


_in_flight: dict[tuple[str, bytes], _Build] = {}
_in_flight_lock = threading.Lock()


def _build_once(key: str, generation: bytes, build: Callable[[], bytes]) -> CachedList:
    """Build the body, or wait for the thread that builds it.

    A thread that waits has read the same generation as the builder, so the shared body is as recent as its own would
    be.
    """
    with _in_flight_lock:
        is_leader = (key, generation) not in _in_flight
        flight = _in_flight.setdefault((key, generation), _Build())
    if not is_leader:
        flight.done.wait(WAIT_TIMEOUT)
        if flight.result is None:
            return _build(build, "misses")
        count("hits")
        return flight.result
    try:
        flight.result = peek(key)  # an earlier leader may have stored it since the lookup
        if flight.result is None:
            flight.result = _build(build, "misses")
            _store(key, generation, flight.result)
        return flight.result
    finally:
        with _in_flight_lock:
            del _in_flight[key, generation]
        flight.done.set()


def _build(build: Callable[[], bytes], counted_as: str) -> CachedList:
    count(counted_as)
    body = build()
    return CachedList(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _store(key: str, generation: bytes, made: CachedList) -> None:
    redis = link.client()
    if redis is None or len(made.body) > MAX_ENTRY_BYTES:
        return
    value = b"\n".join([generation, made.etag.encode(), made.body])
    try:
        redis.set(key, value, px=int((MAX_AGE - random.uniform(0, JITTER)) * 1000))
    except AWAY as error:
        link.record(error)


def _unpack(stored: Any, generation: bytes) -> CachedList | None:
    """Return the stored body if it belongs to this generation."""
    if stored is None:
        return None
    mark, etag, body = stored.split(b"\n", 2)
    return CachedList(body, etag.decode()) if mark == generation else None
