"""The caller of a token request and their permissions, in one query. The usual way takes three and builds a user.

Only for frequent reads (projects/cached_views.py). It queries the database every time, so that a revoked token, a
deactivated user or a removed permission takes effect with the next request, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple
from weakref import WeakSet

from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest

from accounts.models import AccessToken, hash_of, use_is_worth_noting
from core.database import direct_connections

# The user's and the groups' permissions; Django's ModelBackend adds only `is_superuser`.
_QUERY = """
    SELECT t.id, t.last_used_at, u.id, u.username, u.is_superuser, ARRAY(
        SELECT c.app_label || '.' || p.codename
        FROM (
            SELECT permission_id FROM auth_user_user_permissions WHERE user_id = u.id
            UNION
            SELECT permission_id FROM auth_user_groups JOIN auth_group_permissions USING (group_id)
            WHERE user_id = u.id
        ) AS held
        JOIN auth_permission p ON p.id = held.permission_id
        JOIN django_content_type c ON c.id = p.content_type_id
        WHERE c.app_label = ANY($1) AND p.codename = ANY($2)
    )
    FROM accounts_accesstoken t JOIN auth_user u ON u.id = t.user_id
    WHERE t.key_hash = $3 AND u.is_active AND t.expires_at > now()
        AND t.password_proof = encode(sha256(convert_to(u.password, 'UTF8')), 'hex')
"""
# Prepared, because Postgres takes twice as long to plan it as to run it. Not behind a pooler, where each transaction
# may use another session.
_PREPARE = f"PREPARE projects_caller (text[], text[], text) AS {_QUERY}"
_EXECUTE = "EXECUTE projects_caller (%s, %s, %s)"
_PLAIN = re.sub(r"\$(\d)", r"%(p\1)s", _QUERY)
_prepared: WeakSet[Any] = WeakSet()  # connections that have prepared the statement


class Caller(NamedTuple):
    """An active user, and which of the requested permissions they have."""

    user_id: int
    username: str
    permissions: frozenset[str]


def caller_of(request: HttpRequest, asked: Collection[str]) -> Caller | None:
    """Return the sender of `Authorization: Token <key>`, with those of the permissions `asked` that they have.

    None if this header alone does not decide it. REST framework then authenticates the request and reports errors.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "token" or not key.isalnum():
        return None
    apps, codenames = zip(*(permission.split(".") for permission in asked), strict=True)
    connection: Any = connections["default"]
    try:
        row = _look_up(connection, list(apps), list(codenames), key)
    except (OperationalError, InterfaceError):
        # The usual way detects a broken connection and opens a new one.
        connection.health_check_done = False
        return None
    if row is None:
        return None
    token_id, last_used_at, user_id, username, is_superuser, held = row
    if use_is_worth_noting(last_used_at):
        AccessToken.objects.filter(pk=token_id).mark_used()
    return Caller(user_id, username, frozenset(asked if is_superuser else set(asked).intersection(held)))


def _look_up(connection: Any, apps: list[str], codenames: list[str], key: str) -> Any:
    connection.health_check_done = True  # this query is the health check
    key_hash = hash_of(key)
    with connection.cursor() as cursor:
        if direct_connections.is_pooled():
            cursor.execute(_PLAIN, {"p1": apps, "p2": codenames, "p3": key_hash})
            return cursor.fetchone()
        if connection.connection not in _prepared:
            cursor.execute(_PREPARE)
            _prepared.add(connection.connection)
        cursor.execute(_EXECUTE, [apps, codenames, key_hash])
        return cursor.fetchone()
