"""Who may send events, and what events must look like: known in the process, and never older than two seconds.

1. A request takes what is known. If that was last compared with Postgres over a second ago, it starts a comparison,
   and waits for it if it is over two seconds; so nothing runs while nobody asks.
2. Comparing is one query for a fingerprint: every change of a row changes its `xmin`. Only another fingerprint loads.
3. A key that nobody knows is compared at once, since it may have been made this second; but at most ten times a second
   for all, so that guessing keys costs Postgres nothing.
4. Postgres away: known keys stay known, and unknown ones are not denied, as nobody can tell.
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
from events.validation.schemas import Checker
from events.validation.stored_schemas import stored

log = structlog.get_logger(__name__)

FRESH = 1.0  # seconds
STALE = 2.0  # seconds
APART = 0.1  # seconds between two comparisons
MAX_KEY_LENGTH = 200  # characters; ours are much shorter, and what is asked for is remembered

FINGERPRINT = """
SELECT md5(concat_ws('/',
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_application),
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_writekey),
    (SELECT string_agg(concat(id, ' ', xmin), ',' ORDER BY id) FROM events_eventtype)))
"""
SENDERS = """
SELECT key.key_hash, key.expires_at, app.id, app.allowed_origins, app.rate, app.unknown_types = 'rejected'
FROM events_writekey key JOIN events_application app ON app.id = key.application_id
WHERE NOT app.paused
"""
TODAY = "(now() AT TIME ZONE 'UTC')::date"
REJECTED = f"SELECT application_id, bytes FROM events_rejectedday WHERE day = {TODAY}"  # noqa: S608  a constant of ours
TYPES = "SELECT category, name, schema::text FROM events_eventtype"


@dataclass(frozen=True, slots=True)
class Sender:
    """What a write key stands for."""

    application: int
    origins: frozenset[str]
    rate: int
    rejects_unknown: bool
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    fingerprint: str
    senders: Mapping[str, Sender]  # by the key's SHA-256
    types: Mapping[tuple[str, str], Checker]
    texts: Mapping[tuple[str, str], str]  # the schemas' own, for the process that checks large bodies
    checkers: Mapping[str, Checker]  # by the schema's text: what has not changed is not compiled anew


NOTHING = Known("", {}, {}, {}, {})


@lru_cache(maxsize=1_000)
def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


class Directory:
    """What this process knows of keys and schemas."""

    def __init__(self, line: DatabaseThread) -> None:
        self._line = line
        self._known = NOTHING
        self._as_of = float("-inf")  # when the last comparison that succeeded began
        self._tried = float("-inf")
        self._comparing: asyncio.Task[None] | None = None
        self.rejected_today: dict[int, int] = {}  # bytes kept of each application, as of the last comparison

    def at_hand(self) -> Known | None:
        """Return keys and schemas, None if they are to be waited for: known()."""
        age = time.monotonic() - self._as_of
        if age > FRESH:
            self._begin()
        return self._known if age <= STALE else None

    async def known(self) -> Known:
        """Return keys and schemas. Raises Unavailable if none were ever loaded, and cannot be."""
        known = self.at_hand()
        if known is None:
            await self._compare()
            known = self._known
        if known is NOTHING:
            raise Unavailable("Keys and schemas could not be loaded.")
        return known

    async def sender(self, key: str) -> Sender | None:
        """Return who this key belongs to, None if it is worth nothing. Raises Unavailable if that cannot be known."""
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            return None
        asked, name = time.monotonic(), hash_of(key)
        sender = (self.at_hand() or await self.known()).senders.get(name)
        if sender is None:
            while self._as_of < asked:
                before = self._as_of
                await self._compare()
                if self._as_of == before:
                    raise Unavailable("The write key cannot be checked at the moment.")
            sender = self._known.senders.get(name)
        if sender is None or (sender.expires_at is not None and sender.expires_at <= datetime.now(UTC)):
            return None
        return sender

    async def _compare(self) -> None:
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._comparing is None or self._comparing.done():
            self._comparing = asyncio.create_task(self._look())
        return self._comparing

    async def _look(self) -> None:
        await asyncio.sleep(max(0.0, self._tried + APART - time.monotonic()))
        began = self._tried = time.monotonic()
        try:
            self._known = await self._line.run(self._load)
        except Unavailable:
            return  # what is known stays known
        except Exception:
            log.exception("events_directory_failed")
            return
        self._as_of = began

    def _load(self, connection: Any) -> Known:
        """Return what Postgres says now. The fingerprint is taken first: what changes meanwhile is loaded once more."""
        with connection.cursor() as cursor:
            cursor.execute(FINGERPRINT)
            fingerprint = cursor.fetchone()[0]
            cursor.execute(REJECTED)
            self.rejected_today = dict(cursor.fetchall())
            if fingerprint == self._known.fingerprint:
                return self._known
            cursor.execute(SENDERS)
            senders = {
                name: Sender(application, frozenset(origins), rate, rejects_unknown, expires_at)
                for name, expires_at, application, origins, rate, rejects_unknown in cursor.fetchall()
            }
            cursor.execute(TYPES)
            rows = cursor.fetchall()
        known = self._known.checkers
        checkers = {text: known[text] if text in known else stored(text) for _, _, text in rows}
        texts = {(category, name): text for category, name, text in rows}
        types = {type: checkers[text] for type, text in texts.items()}
        return Known(fingerprint, senders, types, texts, checkers)
