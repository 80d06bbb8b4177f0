"""In-process cache of write keys and schemas. While Postgres is reachable it is never older than two seconds.

1. A request uses the cache. If the last comparison with Postgres was more than a second ago, the request starts one; if
   it was more than two seconds ago, the request also waits for it. So nothing runs while there are no requests.
2. A comparison is one query for a fingerprint of the tables: each change of a row changes its `xmin`. Keys and schemas
   are loaded only if the fingerprint has changed.
3. An unknown key causes a comparison at once, because it may have been created within the last second. There are at
   most ten comparisons per second for all requests together, so guessing keys puts no load on Postgres.
4. While Postgres is unreachable, cached keys stay valid. Unknown keys get 503 and not 401, because they may be valid.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog

from events.ingest.db_thread import DatabaseThread, Unavailable
from events.validation.rules import SETTINGS_COLUMNS, ApplicationSettings
from events.validation.schemas import Checker
from events.validation.stored_schemas import stored

log = structlog.get_logger(__name__)

REFRESH_INTERVAL = 1.0  # seconds after which a request starts a comparison
MAX_AGE = 2.0  # seconds after which a request waits for the comparison
MIN_REFRESH_INTERVAL = 0.1  # minimum seconds between two comparisons
MAX_KEY_LENGTH = 200  # characters; real keys are much shorter. Bounds the memory of the cache of hash_of()

FINGERPRINT = """
SELECT md5(concat_ws('/',
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_application),
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_writekey),
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_eventtype)))
"""
SENDERS = f"""
SELECT key.key_hash, key.expires_at, {", ".join(f"app.{column}" for column in SETTINGS_COLUMNS)}
FROM events_writekey key JOIN events_application app ON app.id = key.application_id
WHERE NOT app.paused
"""  # noqa: S608  names of columns
TODAY = "(now() AT TIME ZONE 'UTC')::date"
REJECTED = f"SELECT application_id, bytes FROM events_rejectedday WHERE day = {TODAY}"  # noqa: S608  a constant of ours
TYPES = "SELECT category, name, schema::text FROM events_eventtype"


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    fingerprint: str
    senders: Mapping[str, tuple[datetime | None, ApplicationSettings]]  # expiry and owner, by the key's SHA-256
    types: Mapping[tuple[str, str], Checker]
    texts: Mapping[tuple[str, str], str]  # the schemas' JSON texts, for the process that validates large bodies
    checkers: Mapping[str, Checker]  # by the schema's text, so that unchanged schemas are not compiled again


EMPTY = RegistrySnapshot("", {}, {}, {}, {})


@lru_cache(maxsize=1_000)
def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


class RegistryCache:
    """This process's cache of write keys and schemas."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._snapshot = EMPTY
        self._as_of = float("-inf")  # when the last successful comparison began
        self._tried_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self.rejected_today: dict[int, int] = {}  # bytes kept per application, at the last comparison

    def cached(self) -> RegistrySnapshot | None:
        """Return keys and schemas, or None if they are older than MAX_AGE and the caller must wait with `current`."""
        age = time.monotonic() - self._as_of
        if age > REFRESH_INTERVAL:
            self._start_refresh()
        return self._snapshot if age <= MAX_AGE else None

    async def current(self) -> RegistrySnapshot:
        """Return keys and schemas, after a comparison if necessary. If that fails, return the cached ones.

        Raises Unavailable if they have never been loaded and cannot be loaded now.
        """
        if self.cached() is None:
            await self._wait_for_refresh()
        if self._snapshot is EMPTY:
            raise Unavailable("Keys and schemas could not be loaded.")
        return self._snapshot

    async def sender(self, key: str) -> ApplicationSettings | None:
        """Return the application that owns this key. None: the key is unknown or expired, or its application is paused.

        Raises Unavailable if an unknown key cannot be compared with Postgres.
        """
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            return None
        asked, name = time.monotonic(), hash_of(key)
        sender = (self.cached() or await self.current()).senders.get(name)
        if sender is None:
            while self._as_of < asked:
                before = self._as_of
                await self._wait_for_refresh()
                if self._as_of == before:
                    raise Unavailable("The write key cannot be checked at the moment.")
            sender = self._snapshot.senders.get(name)
        if sender is None:
            return None
        expires_at, application = sender
        return application if expires_at is None or expires_at > datetime.now(UTC) else None

    async def _wait_for_refresh(self) -> None:
        await asyncio.shield(self._start_refresh())

    def _start_refresh(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        await asyncio.sleep(max(0.0, self._tried_at + MIN_REFRESH_INTERVAL - time.monotonic()))
        began = self._tried_at = time.monotonic()
        try:
            self._snapshot = await self._thread.run(self._load)
        except Unavailable:
            return  # the cache stays in use
        except Exception:
            log.exception("events_registry_failed")
            return
        self._as_of = began

    def _load(self, connection: Any) -> RegistrySnapshot:
        """Return the current keys and schemas from Postgres.

        The fingerprint is read first, so a change during the loading causes another load at the next comparison.
        """
        with connection.cursor() as cursor:
            cursor.execute(FINGERPRINT)
            fingerprint = cursor.fetchone()[0]
            cursor.execute(REJECTED)
            self.rejected_today = dict(cursor.fetchall())
            if fingerprint == self._snapshot.fingerprint:
                return self._snapshot
            cursor.execute(SENDERS)
            senders = {name: (expires_at, ApplicationSettings(*row)) for name, expires_at, *row in cursor.fetchall()}
            cursor.execute(TYPES)
            rows = cursor.fetchall()
        known = self._snapshot.checkers
        checkers = {text: known[text] if text in known else stored(text) for _, _, text in rows}
        texts = {(category, name): text for category, name, text in rows}
        types = {type: checkers[text] for type, text in texts.items()}
        return RegistrySnapshot(fingerprint, senders, types, texts, checkers)
