"""The bodies of project and task lists in Redis: never an error, no key is ever searched for, and never an old list,
but for a moment after Redis was away, and where a process is killed at the worst moment: 3 and 4.

1. All bodies belong to a generation: a random word in a key of its own. A reader reads the word first, then asks the
   database, then stores the body marked with the word it read. A stored body counts only while its mark is the word;
   both are read in one command, at one moment.
2. A writer commits, then replaces the word, and only then tells others. Whatever a slow reader stores after that, it
   marks with the old word, and nobody takes it: there is no moment at which an old body can come back. (A cache that
   deletes keys has such a moment: read old, commit, delete, store old.)
3. A writer killed between commit and replacement leaves old bodies readable, for MAX_AGE at most.
4. Redis away: the reader asks the database, and after a few failures nobody here asks Redis for a while. A replacement
   that failed is owed: this process reads past the cache until it has succeeded, and tries again every PAY_SECONDS
   whether anybody reads here or not; a worker is asked to do it, too. Other processes, which cannot know of the debt,
   may read an old body for so long after Redis has come back.
5. Many cold readers of one list: the first takes a short lock and asks the database, the others wait for its body,
   WAIT_TIMEOUT at most, and then ask the database themselves. Nobody ever depends on the lock.
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

MAX_AGE = 60.0  # seconds; what a list may be behind where its writer was killed at the worst moment
JITTER = 15.0  # seconds less than that at most, so that bodies stored together do not end together
PAY_SECONDS = 0.5
LOCK_MS = 3_000
WAIT_TIMEOUT = 0.2  # seconds for somebody else's body
MAX_ENTRY_BYTES = 256 * 1024  # bytes
_LOOK_AGAIN = 0.01  # seconds
_TOO_LARGE = b"-"  # in the place of a body that is not worth Redis' memory: nobody waits for it


class Listing(NamedTuple):
    """The bytes of a list, and the ETag that they have."""

    body: bytes
    etag: str


def question(*, kind: str, scope: str, query: str) -> str:
    """Return the key of a list's body.

    `kind` names the list, `scope` what the reader may see, `query` everything else that the body depends on:
    filters, order, page, host.
    """
    return _name(hashlib.sha256("\x00".join([kind, scope, query]).encode()).hexdigest())


def peek(key: str) -> Listing | None:
    """Return the list's body if it is in Redis and may be read, else None. Raises nothing."""
    redis = link.client() if _nothing_owed() else None
    found = _ask(redis, key) if redis is not None else None
    if found is None or not isinstance(found.body, Listing):
        return None
    counted("hits")
    return found.body


def listing(key: str, build: Callable[[], bytes]) -> Listing:
    """Return the list's body, from Redis or from `build`. Raises what `build` raises, and nothing of its own."""
    redis = link.client() if _nothing_owed() else None
    found = _ask(redis, key) if redis is not None else None
    if redis is None or found is None or found.body == _TOO_LARGE:
        return fresh(build)
    if isinstance(found.body, Listing):
        counted("hits")
        return found.body
    return _cold(redis, key, found.generation, build)


def bump() -> None:
    """Let no list of before be read again, once the current transaction commits; at once outside of one."""
    connection = transaction.get_connection()
    # A bulk change calls this for every row; once a transaction is enough.
    if any(waiting[1] is _replace for waiting in connection.run_on_commit):
        return
    transaction.on_commit(_replace, robust=True)
    if connection.run_on_commit:  # first of all: who is told of the change asks for the list at once
        connection.run_on_commit.insert(0, connection.run_on_commit.pop())


def settle() -> None:
    """Replace the generation now: what a worker does for a process that could not. Harmless at any time."""
    _replace()


def people_changed(*, update_fields: Any = None, **_: Any) -> None:
    """A signal's receiver: lists show names of people, whom another app saves. Logging in changes no name."""
    if update_fields is None or set(update_fields) != {"last_login"}:
        bump()


def _replace() -> None:
    missed = link.missed
    try:
        link.connection().set(_name("generation"), uuid4().hex)
        link.pays(missed)
    except (RedisError, OSError) as error:
        if link.owes():
            wake("projects.tasks.settle_lists")
            threading.Thread(target=_pay, name="list cache", daemon=True).start()
        link.failed(error)


def _pay() -> None:
    while not link.is_even():
        time.sleep(PAY_SECONDS)
        if link.owed:  # a reader or writer may have been here
            _replace()


def _nothing_owed() -> bool:
    if link.owed and link.client() is not None:
        _replace()
    return not link.owed


class _Found(NamedTuple):
    """What Redis said: the generation, and the body of this generation if there is one, or _TOO_LARGE."""

    generation: bytes
    body: Listing | bytes | None


def _ask(redis: Redis, key: str) -> _Found | None:
    """Return what Redis says of this key; None where it says nothing. If there is no generation, begin one."""
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
    """A body that somebody in this process is fetching or building."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.found: Listing | None = None


_flights: dict[tuple[str, bytes], _Flight] = {}
_flying = threading.Lock()


def _cold(redis: Redis, key: str, generation: bytes, build: Callable[[], bytes]) -> Listing:
    """Build the body, or share one that is under way: with this process's threads here, with others' by Redis.

    Who joins a flight has read the same generation as its pilot, so that the body is as new as one's own would be.
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
    """Return whether the lock is ours, and what is stored: somebody may have stored it since we asked last."""
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
    """Return the list's body from `build`, past the cache."""
    counted("bypasses")
    return _sealed(build())


def _sealed(body: bytes) -> Listing:
    return Listing(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _opened(stored: Any, generation: bytes) -> Listing | bytes | None:
    """Return what was stored, unless it is of another generation."""
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
