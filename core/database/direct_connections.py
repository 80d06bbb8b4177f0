"""Direct connections to Postgres where DATABASE_URL points to a PgBouncer in transaction mode.

Behind such a pooler each transaction may use another server connection. So session state does not work there: startup
options, SET, prepared statements, session advisory locks, server-side cursors. Code that needs a session uses this
module: the ingest of events (prepared statements and its own limits) and `migrate`. All other code uses the pooler;
its time limits are settings of the database role.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_ADDRESS = ("HOST", "PORT", "USER", "PASSWORD")


def is_pooled() -> bool:
    """Return whether DATABASE_URL points to a pooler."""
    return settings.DATABASE_DIRECT is not None


def parameters() -> dict[str, Any]:
    """Return psycopg2's connection parameters, past the pooler if there is one."""
    connection = connections[DEFAULT_DB_ALIAS]
    if is_pooled():
        connection = connection.copy()
        go_direct(connection)
    return dict(connection.get_connection_params())


def go_direct(connection: BaseDatabaseWrapper) -> None:
    """Make this connection, which must not be open, connect to Postgres directly. No effect without a pooler."""
    direct = settings.DATABASE_DIRECT
    if direct is None:
        return
    given = connection.settings_dict
    address = {name: direct[name] for name in _ADDRESS}
    options = given["OPTIONS"] | {"options": settings.DATABASE_STARTUP_OPTIONS}
    connection.settings_dict = {**given, **address, "OPTIONS": options}
