"""Test databases: each test worker gets a copy of a template, which is migrated once and kept between runs.

1. A worker takes an advisory lock, so that the others wait while it migrates the template. A killed worker loses it.
2. The template's comment is the fingerprint of its sources. It is written last: a template without the right comment is
   incomplete or outdated, and is created again.
3. The worker copies the template while it holds the lock, because Postgres allows no other connection to it meanwhile.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection

# What `migrate` executes: migrations, and the code that creates rows and partitions after them.
SOURCES = (
    "requirements-dev.txt",
    "*/migrations/*.py",
    "*/models.py",
    "*/models/*.py",
    "*/apps.py",
    "*/management/commands/migrate.py",
    "config/roles.py",
    "config/database/runner_role.py",
    "events/storage/partitions.py",
)


def create() -> None:
    """Connect Django to a new database with all migrations. An existing one of the same name is dropped."""
    creation = connection.creation
    name, template = creation._get_test_db_name(), f"test_{connection.settings_dict['NAME']}_template"
    quote = connection.ops.quote_name
    with creation._nodb_cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [template])
        made_from = fingerprint()
        if _comment(cursor, template) != made_from:
            _migrate(template)
            cursor.execute(f"COMMENT ON DATABASE {quote(template)} IS %s", [made_from])
        cursor.execute(f"DROP DATABASE IF EXISTS {quote(name)}")
        cursor.execute(f"CREATE DATABASE {quote(name)} TEMPLATE {quote(template)}")
    _connect(name)


def drop() -> None:
    """Drop the database that `create` created, but not the template."""
    creation = connection.creation
    connection.close()
    with creation._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])}")


def fingerprint() -> str:
    """Return a hash of the files that determine a migrated database, and of the day, on which partitions depend."""
    digest = hashlib.sha256(datetime.now(UTC).date().isoformat().encode())
    for path in sorted({path for pattern in SOURCES for path in settings.BASE_DIR.glob(pattern)}):
        digest.update(str(path.relative_to(settings.BASE_DIR)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _comment(cursor: Any, database: str) -> str | None:
    cursor.execute("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [database])
    row = cursor.fetchone()
    return row and row[0]


def _migrate(template: str) -> None:
    """Create the template again."""
    test_settings = connection.settings_dict["TEST"]
    name, test_settings["NAME"] = test_settings["NAME"], template
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    finally:
        test_settings["NAME"] = name
        connection.close()


def _connect(name: str) -> None:
    connection.close()
    settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name
