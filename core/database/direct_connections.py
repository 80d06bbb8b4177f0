"""Connections to Postgres itself where DATABASE_URL names a PgBouncer in transaction mode.

Behind such a pooler each transaction may have another server connection. So what belongs to a session does not work
there: startup options, SET, prepared statements, advisory locks of a session, server-side cursors. Those who need a
session ask here: the ingest of events (prepared statements, and limits of its own) and `migrate`. All others go through
the pooler, with the time limits as settings of their role.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_ADDRESS = ("HOST", "PORT", "USER", "PASSWORD")


def is_pooled() -> bool:
    """Whether DATABASE_URL names a pooler."""
    return settings.DATABASE_DIRECT is not None


def parameters() -> dict[str, Any]:
    """What psycopg2 connects with, past the pooler where there is one."""
    connection = connections[DEFAULT_DB_ALIAS]
    if is_pooled():
        connection = connection.copy()
        go_direct(connection)
    return dict(connection.get_connection_params())


def go_direct(connection: BaseDatabaseWrapper) -> None:
    """Let this connection, which must not be open, go to Postgres itself; nothing changes where it does already."""
    direct = settings.DATABASE_DIRECT
    if direct is None:
        return
    given = connection.settings_dict
    address = {name: direct[name] for name in _ADDRESS}
    options = given["OPTIONS"] | {"options": settings.DATABASE_STARTUP_OPTIONS}
    connection.settings_dict = {**given, **address, "OPTIONS": options}
