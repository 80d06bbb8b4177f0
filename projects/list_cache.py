"""The bodies of project and task lists in Redis: never wrong, never an error, and no key is ever searched for.

1. All bodies lie under a generation: a random word in one key. A reader reads the word first, then asks the database,
   then stores the body under the word it read.
2. A writer commits, then replaces the word. Whatever a slow reader stores after that, it stores under the old word,
   where nobody looks any more: there is no moment at which an old body can come back. (A cache that deletes keys has
   such a moment: read old, commit, delete, store old.)
3. A writer killed between commit and replacement leaves old bodies readable, for LONGEST_LIFE at most.
4. Redis away: the reader asks the database, and after a few failures nobody here asks Redis for a while. A replacement
   that failed is owed: this process reads past the cache until it has succeeded, and a worker is asked to do it, too.
5. Many cold readers of one list: the first takes a short lock and asks the database, the others wait for its body,
   LONGEST_WAIT at most, and then ask the database themselves. Nobody ever depends on the lock.
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

from live.wake import wake
from projects.list_link import counted, link

LONGEST_LIFE = 60.0  # seconds; what a list may be behind where its writer was killed at the worst moment
JITTER = 15.0  # seconds less than that at most, so that bodies stored together do not end together
LOCK_MS = 3_000
LONGEST_WAIT = 0.2  # seconds for somebody else's body
LARGEST = 256 * 1024  # bytes
_LOOK_AGAIN = 0.01  # seconds
_TOO_LARGE = b"-"  # in the place of a body that is not worth Redis' memory: nobody waits for it


class Listing(NamedTuple):
    """The bytes of a list, and the ETag that they have."""

    body: bytes
    etag: str


def listing(*, kind: str, scope: str, query: str, build: Callable[[], bytes]) -> Listing:
    """Return the list's body, from Redis or from `build`.

    `kind` names the list, `scope` what the reader may see, `query` everything else that the body depends on:
    filters, order, page, host. Raises what `build` raises, and nothing of its own.
    """
    redis = link.client() if _nothing_owed() else None
    if redis is None:
        return _bypass(build)
    try:
        key = _key(_generation(redis), kind, scope, query)
        stored = redis.get(key)
        link.failures = 0
    except (RedisError, OSError) as error:
        link.failed(error)
        return _bypass(build)
    if stored == _TOO_LARGE:
        return _bypass(build)
    if stored is not None:
        counted("hits")
        return _opened(stored)
    return _cold(redis, key, build)


def bump() -> None:
    """Let no list of before be read again, once the current transaction commits; at once outside of one."""
    connection = transaction.get_connection()
    # A bulk change calls this for every row; once a transaction is enough.
    if not any(waiting[1] is _replace for waiting in connection.run_on_commit):
        transaction.on_commit(_replace, robust=True)


def settle() -> None:
    """Replace the generation now: what a worker does for a process that could not. Harmless at any time."""
    _replace()


def people_changed(*, update_fields: Any = None, **_: Any) -> None:
    """A signal's receiver: lists show names of people, whom another app saves. Logging in changes no name."""
    if update_fields is None or set(update_fields) != {"last_login"}:
        bump()


def _replace() -> None:
    try:
        link.connection().set(_name("generation"), uuid4().hex)
        link.owed = False
    except (RedisError, OSError) as error:
        if not link.owed:
            link.owed = True
            wake("projects.tasks.settle_lists")
        link.failed(error)


def _nothing_owed() -> bool:
    if link.owed and link.client() is not None:
        _replace()
    return not link.owed


def _generation(redis: Redis) -> bytes:
    """Return the word that bodies lie under now. If there is none, whoever is first decides on one."""
    name = _name("generation")
    word = redis.get(name)
    if word is None:
        redis.set(name, uuid4().hex, nx=True)
        word = redis.get(name)
    return bytes(word or b"none")  # type: ignore[arg-type]


class _Flight:
    """A body that somebody in this process is fetching or building."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.found: Listing | None = None


_flights: dict[str, _Flight] = {}
_flying = threading.Lock()


def _cold(redis: Redis, key: str, build: Callable[[], bytes]) -> Listing:
    """Build the body, or share one that is under way: with this process's threads here, with others' by Redis.

    Who joins a flight has read the same generation as its pilot, so that the body is as new as one's own would be.
    """
    with _flying:
        pilot = key not in _flights
        flight = _flights.setdefault(key, _Flight())
    if not pilot:
        flight.landed.wait(LONGEST_WAIT)
        if flight.found is not None:
            counted("hits")
            return flight.found
        counted("misses")
        return _sealed(build())
    try:
        flight.found = _first(redis, key, build)
        return flight.found
    finally:
        with _flying:
            del _flights[key]
        flight.landed.set()


def _first(redis: Redis, key: str, build: Callable[[], bytes]) -> Listing:
    lock = f"{key}:lock"
    try:
        first = bool(redis.set(lock, b"1", nx=True, px=LOCK_MS))
        found = None if first else _wait(redis, key)
    except (RedisError, OSError) as error:
        link.failed(error)
        return _bypass(build)
    if found is not None:
        counted("hits")
        return _opened(found)
    counted("misses")
    try:
        made = _sealed(build())
        _quietly(partial(_store, redis, key, made))
    finally:
        if first:
            _quietly(partial(redis.delete, lock))
    return made


def _wait(redis: Redis, key: str) -> bytes | None:
    until = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < until:
        time.sleep(_LOOK_AGAIN)
        stored = redis.get(key)
        if stored is not None:
            return None if stored == _TOO_LARGE else bytes(stored)  # type: ignore[arg-type]
    return None


def _store(redis: Redis, key: str, made: Listing) -> None:
    value = _TOO_LARGE if len(made.body) > LARGEST else made.etag.encode() + b"\n" + made.body
    redis.set(key, value, px=int((LONGEST_LIFE - random.uniform(0, JITTER)) * 1000))


def _quietly(step: Callable[[], object]) -> None:
    try:
        step()
    except (RedisError, OSError) as error:
        link.failed(error)


def _bypass(build: Callable[[], bytes]) -> Listing:
    counted("bypasses")
    return _sealed(build())


def _sealed(body: bytes) -> Listing:
    return Listing(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _opened(stored: Any) -> Listing:
    etag, _, body = bytes(stored).partition(b"\n")
    return Listing(body, etag.decode())


def _key(generation: bytes, kind: str, scope: str, query: str) -> str:
    digest = hashlib.sha256("\x00".join([kind, scope, query]).encode()).hexdigest()
    return _name(f"{generation.decode()}:{digest}")


def _name(name: str) -> str:
    return str(caches["default"].make_key(f"lists:{name}"))
