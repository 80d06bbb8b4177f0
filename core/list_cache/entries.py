"""Redis cache for the bodies of project and task lists, invalidated by a generation word instead of key deletion.

The cache never raises. It serves an outdated list only in the two cases of 3 and 4.

1. All bodies belong to a generation: a random word in its own key. A reader reads the word, then queries the database,
   then stores the body marked with that word. A stored body is valid only while its mark equals the word; one command
   reads both at the same moment.
2. A writer commits, then replaces the word, and only then publishes live messages. A slow reader that stores its body
   after that marks it with the old word, so it is never served: an outdated body cannot come back. (A cache that
   deletes keys has this race: read old, commit, delete, store old.)
3. A writer that is killed between commit and replacement leaves outdated bodies readable, for at most MAX_AGE.
4. Redis unreachable: readers query the database, and after a few failures this process does not contact Redis for a
   while. A failed replacement is owed: this process bypasses the cache until the replacement has succeeded, and retries
   every PAY_SECONDS even without readers; it also asks a worker to do it. Other processes do not know of this, and may
   serve an outdated body for that long after Redis is back.
5. Many readers of one list that is not cached: the first takes a short lock and queries the database. The others wait
   for its body, at most WAIT_TIMEOUT, and then query the database themselves. Correctness never depends on the lock.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from django.core.cache import caches
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

from core.list_cache.redis_link import counted, link
from core.wake import wake

MAX_AGE = 60.0  # seconds; the longest time a list may be outdated if its writer was killed, see 3
JITTER = 15.0  # seconds; random reduction of MAX_AGE, so that bodies stored together do not expire together
PAY_SECONDS = 0.5
LOCK_MS = 3_000
WAIT_TIMEOUT = 0.2  # seconds to wait for another reader's body
MAX_ENTRY_BYTES = 256 * 1024
_LOOK_AGAIN = 0.01  # seconds
_TOO_LARGE = b"-"  # stored instead of a body that exceeds MAX_ENTRY_BYTES, so that readers do not wait for it


class Listing(NamedTuple):
    """The bytes of a list and their ETag."""

    body: bytes
    etag: str


def question(*, kind: str, scope: str, query: str) -> str:
    """Return the cache key of a list's body.

    `kind` names the list, `scope` what the reader may see, `query` everything else that the body depends on: filters,
    order, page, host.
    """
    return _name(hashlib.sha256("\x00".join([kind, scope, query]).encode()).hexdigest())


def peek(key: str) -> Listing | None:
    """Return the list's body if it is cached and valid, else None. Never raises."""
    redis = link.client() if _nothing_owed() else None
    found = _ask(redis, key) if redis is not None else None
    if found is None or not isinstance(found.body, Listing):
        return None
    counted("hits")
    return found.body


def listing(key: str, build: Callable[[], bytes]) -> Listing:
    """Return the list's body from Redis or from `build`. Raises only what `build` raises."""
    redis = link.client() if _nothing_owed() else None
    found = _ask(redis, key) if redis is not None else None
    if redis is None or found is None or found.body == _TOO_LARGE:
        return fresh(build)
    if isinstance(found.body, Listing):
        counted("hits")
        return found.body
    return _cold(redis, key, found.generation, build)


def bump() -> None:
    """Invalidate all lists when the current transaction commits, or at once outside a transaction."""
    connection = transaction.get_connection()
    # A bulk change calls this for every row; once per transaction is enough.
    if any(waiting[1] is _replace for waiting in connection.run_on_commit):
        return
    transaction.on_commit(_replace, robust=True)
    if connection.run_on_commit:  # must run first: a client that gets the live message requests the list at once
        connection.run_on_commit.insert(0, connection.run_on_commit.pop())


def settle() -> None:
    """Replace the generation now: run by a worker for a process that could not. Harmless at any time."""
    _replace()


def people_changed(*, update_fields: Any = None, **_: Any) -> None:
    """Signal receiver: lists show user names, which another app saves. A login changes only `last_login`."""
    if update_fields is None or set(update_fields) != {"last_login"}:
        bump()


def _replace() -> None:
    missed = link.missed
    try:
        link.connection().set(_name("generation"), uuid4().hex)
        link.pays(missed)
    except (RedisError, OSError) as error:
        if link.owes():
            wake("projects.tasks.retry_invalidation")
            threading.Thread(target=_pay, name="list cache", daemon=True).start()
        link.failed(error)


def _pay() -> None:
    while not link.is_even():
        time.sleep(PAY_SECONDS)
        if link.owed:  # a reader or writer may already have replaced it
            _replace()


def _nothing_owed() -> bool:
    if link.owed and link.client() is not None:
        _replace()
    return not link.owed


class _Found(NamedTuple):
    """Result of a lookup: the generation, and a Listing of this generation, _TOO_LARGE or None."""

    generation: bytes
    body: Listing | bytes | None


def _ask(redis: Redis, key: str) -> _Found | None:
    """Look up a key; None if Redis fails. Creates a generation if none exists."""
    name = _name("generation")
    try:
        generation, stored = redis.mget(name, key)
        if generation is None:
            redis.set(name, uuid4().hex, nx=True)
            generation, stored = redis.mget(name, key)
        link.failures = 0
    except (RedisError, OSError) as error:
        link.failed(error)
        return None
    word = bytes(generation or b"none")  # type: ignore[arg-type]
    return _Found(word, _opened(stored, word))


class _Flight:
    """A body that one thread of this process fetches or builds for all threads that want it."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.found: Listing | None = None


_flights: dict[tuple[str, bytes], _Flight] = {}
_flying = threading.Lock()


def _cold(redis: Redis, key: str, generation: bytes, build: Callable[[], bytes]) -> Listing:
    """Build the body, or share one that is being built: by a thread of this process, or through Redis by another.

    A thread that joins a flight has read the same generation as the builder, so the shared body is as recent as its own
    would be.
    """
    name = (key, generation)
    with _flying:
        pilot = name not in _flights
        flight = _flights.setdefault(name, _Flight())
    if not pilot:
        flight.landed.wait(WAIT_TIMEOUT)
        if flight.found is not None:
            counted("hits")
            return flight.found
        counted("misses")
        return _sealed(build())
    try:
        flight.found = _first(redis, key, generation, build)
        return flight.found
    finally:
        with _flying:
            del _flights[name]
        flight.landed.set()


def _first(redis: Redis, key: str, generation: bytes, build: Callable[[], bytes]) -> Listing:
    lock = f"{key}:{generation.decode()}:lock"
    try:
        first, found = _lock_and_look(redis, lock, key, generation)
        if not first and found is None:
            found = _wait(redis, key, generation)
    except (RedisError, OSError) as error:
        link.failed(error)
        return fresh(build)
    try:
        if isinstance(found, Listing):
            counted("hits")
            return found
        counted("misses")
        made = _sealed(build())
        _quietly(partial(_store, redis, key, generation, made))
        return made
    finally:
        if first:
            _quietly(partial(redis.delete, lock))


def _lock_and_look(redis: Redis, lock: str, key: str, generation: bytes) -> tuple[bool, Listing | bytes | None]:
    """Return whether the lock was acquired, and the stored value, which may have appeared since the lookup."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.set(lock, b"1", nx=True, px=LOCK_MS)
    pipeline.get(key)
    first, stored = pipeline.execute()
    return bool(first), _opened(stored, generation)


def _wait(redis: Redis, key: str, generation: bytes) -> Listing | bytes | None:
    until = time.monotonic() + WAIT_TIMEOUT
    while time.monotonic() < until:
        time.sleep(_LOOK_AGAIN)
        found = _opened(redis.get(key), generation)
        if found is not None:
            return found
    return None


def _store(redis: Redis, key: str, generation: bytes, made: Listing) -> None:
    value = _TOO_LARGE if len(made.body) > MAX_ENTRY_BYTES else made.etag.encode() + b"\n" + made.body
    redis.set(key, generation + b"\n" + value, px=int((MAX_AGE - random.uniform(0, JITTER)) * 1000))


def _quietly(step: Callable[[], object]) -> None:
    try:
        step()
    except (RedisError, OSError) as error:
        link.failed(error)


def fresh(build: Callable[[], bytes]) -> Listing:
    """Return the list's body from `build`, bypassing the cache."""
    counted("bypasses")
    return _sealed(build())


def _sealed(body: bytes) -> Listing:
    return Listing(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _opened(stored: Any, generation: bytes) -> Listing | bytes | None:
    """Return the stored value if it belongs to this generation, else None."""
    if stored is None:
        return None
    mark, _, value = bytes(stored).partition(b"\n")
    if mark != generation:
        return None
    if value == _TOO_LARGE:
        return _TOO_LARGE
    etag, _, body = value.partition(b"\n")
    return Listing(body, etag.decode())


def _name(name: str) -> str:
    return str(caches["default"].make_key(f"lists:{name}"))
