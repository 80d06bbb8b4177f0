"""Who owns a WebSocket and what it may watch: checked at the handshake, and for all sockets every 30 seconds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.http import parse_cookie
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import AccessToken, hash_of, use_is_worth_noting
from live import topics
from live.origin import header

PROTOCOL = "opsroom"
_TOKEN_PROTOCOL = "token."  # noqa: S105  the prefix, not a token


@dataclass(frozen=True)
class Credential:
    """Session key or access token that the handshake sent."""

    kind: Literal["session", "token"]
    key: str


@dataclass(frozen=True)
class Visitor:
    """An active user and those of their permissions that topics require; a superuser has all."""

    user_id: int
    is_superuser: bool
    permissions: frozenset[str]

    def may_watch(self, topic: str) -> bool:
        permission = topics.permission_for(topic)
        return permission is not None and (self.is_superuser or permission in self.permissions)


def credential_of(scope: dict[str, Any]) -> Credential | None:
    """Return the token of `Authorization: Token <key>` or of the subprotocol `token.<key>`, else the session cookie."""
    for value in header(scope, b"authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "token":
            return Credential("token", key.strip())
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(_TOKEN_PROTOCOL):
            return Credential("token", protocol.removeprefix(_TOKEN_PROTOCOL))
    key = parse_cookie("; ".join(header(scope, b"cookie"))).get(settings.SESSION_COOKIE_NAME, "")
    return Credential("session", key) if key else None


def protocol_of(scope: dict[str, Any]) -> str | None:
    """Return the subprotocol to answer with: a browser that offered some disconnects unless one is chosen."""
    offered = scope.get("subprotocols") or [None]
    return PROTOCOL if PROTOCOL in offered else offered[0]


def look_up(credentials: Collection[Credential]) -> dict[Credential, Visitor]:
    """Return the user of each credential; invalid, expired, revoked and inactive ones are missing.

    Four queries for any number of credentials, and one more that records the use of tokens.
    """
    owners = _of_sessions(credentials) | _of_tokens(credentials)
    ids = {user_id for user_id, _ in owners.values()}
    users = {user.pk: user for user in get_user_model().objects.filter(pk__in=ids, is_active=True)}
    permissions = _permissions(users)
    found = {}
    for credential, (user_id, proof) in owners.items():
        user = users.get(user_id)
        if user is not None and (proof is None or _proves(proof, user)):
            found[credential] = Visitor(user.pk, user.is_superuser, permissions[user.pk])
    return found


def _of_sessions(credentials: Collection[Credential]) -> dict[Credential, tuple[int, str | None]]:
    keys = [credential.key for credential in credentials if credential.kind == "session"]
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    owners: dict[Credential, tuple[int, str | None]] = {}
    for key, data in rows.values_list("session_key", "session_data"):
        session = SessionStore().decode(data)
        if session.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS and SESSION_KEY in session:
            # The hash of the password at login: changing the password ends every other session.
            owners[Credential("session", key)] = int(session[SESSION_KEY]), session.get(HASH_SESSION_KEY, "")
    return owners


def _of_tokens(credentials: Collection[Credential]) -> dict[Credential, tuple[int, str | None]]:
    hashes = {hash_of(credential.key): credential for credential in credentials if credential.kind == "token"}
    found = list(AccessToken.objects.valid().filter(key_hash__in=hashes)) if hashes else []
    if used := [token.pk for token in found if use_is_worth_noting(token.last_used_at)]:
        AccessToken.objects.filter(pk__in=used).mark_used()
    return {hashes[token.key_hash]: (token.user_id, None) for token in found}


def _proves(proof: str, user: User) -> bool:
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(proof, each) for each in hashes)


def _permissions(user_ids: Collection[int]) -> dict[int, frozenset[str]]:
    guarding = Q(pk__in=[])
    for permission in topics.permissions():
        app, _, codename = permission.partition(".")
        guarding |= Q(content_type__app_label=app, codename=codename)
    what = ("content_type__app_label", "codename")
    own = Permission.objects.filter(guarding, user__in=user_ids).values_list("user", *what)
    by_group = Permission.objects.filter(guarding, group__user__in=user_ids).values_list("group__user", *what)
    found: dict[int, set[str]] = {user_id: set() for user_id in user_ids}
    for user_id, app, codename in own.order_by().union(by_group.order_by()):
        found[user_id].add(f"{app}.{codename}")
    return {user_id: frozenset(permissions) for user_id, permissions in found.items()}
