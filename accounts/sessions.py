"""The open sessions of one user. Django's session table has no user column.

Unexpired sessions are decoded one by one, about 20 µs each. A session is identified by a mark (a hash), because its key
in a page would be a credential.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime

MAX_LISTED_SESSIONS = 10_000  # sessions that are decoded, latest expiry first
SIGNED_IN = "signed_in"  # session key of the record of its sign-in


@dataclass(frozen=True)
class OpenSession:
    """A session of the user. `began_at`, `address` and `browser` are empty for sessions older than this record."""

    key: str
    mark: str
    expires_at: datetime
    began_at: datetime | None
    address: str
    browser: str


def note_sign_in(session: Any, *, address: str | None, browser: str) -> None:
    """Record time, address and browser of the sign-in in a new session."""
    session[SIGNED_IN] = {"at": timezone.now().isoformat(), "address": address or "", "browser": browser[:200]}


def sessions_of(user: Any) -> Iterator[OpenSession]:
    """Yield the sessions in which the user is signed in, latest expiry first."""
    rows = Session.objects.filter(expire_date__gt=timezone.now()).order_by("-expire_date")
    for key, data, expires_at in rows.values_list("session_key", "session_data", "expire_date")[:MAX_LISTED_SESSIONS]:
        held = SessionStore().decode(data)
        if held.get(SESSION_KEY) == str(user.pk) and _is_signed_in(held, user):
            note = held.get(SIGNED_IN, {})
            began_at = parse_datetime(note.get("at", ""))
            mark = hashlib.sha256(key.encode()).hexdigest()[:16]
            yield OpenSession(key, mark, expires_at, began_at, note.get("address", ""), note.get("browser", ""))


def end_sessions(user: Any, *, mark: str = "", but: str | None = None) -> int:
    """End the user's session with this mark, or all without a mark, except the one with the key `but`.

    Return how many.
    """
    keys = [found.key for found in sessions_of(user) if found.key != but and mark in ("", found.mark)]
    return Session.objects.filter(session_key__in=keys).delete()[0]


def _is_signed_in(held: dict[str, Any], user: Any) -> bool:
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(held.get(HASH_SESSION_KEY, ""), each) for each in hashes)
