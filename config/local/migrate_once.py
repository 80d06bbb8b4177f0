"""Bring the database up to date before the processes start, and know cheaply when there is nothing to do.

Loading Django only to hear that nothing is to migrate costs a second of every start. So the launcher notes what it
brought the database to: which migrations there are, and which the database says it has. If both are as noted, it is
up to date.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROJECT = Path(__file__).resolve().parents[2]
NOTE = "prepared"
DEMO = "demo-created"


def is_prepared(folder: Path) -> bool:
    """Whether the note in `folder` says that the embedded database is up to date, and the database agrees."""
    try:
        return (folder / NOTE).read_text() == fingerprint()
    except OSError:
        return False


def prepare(folder: Path, *, demo: bool) -> None:
    """Migrate, create the demo data if it was never created, and leave the note."""
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    if demo and not (folder / DEMO).exists():
        call_command("create_demo")
        (folder / DEMO).touch()
    connections.close_all()
    if demo:
        (folder / NOTE).write_text(fingerprint())


def fingerprint() -> str:
    """A hash of the migrations in the project, of the libraries' versions, and of what the database has applied."""
    digest = hashlib.sha256()
    for path in [PROJECT / "requirements-embedded.txt", *sorted(PROJECT.glob("*/migrations/*.py"))]:
        digest.update(str(path.relative_to(PROJECT)).encode() + b"\0" + path.read_bytes() + b"\0")
    for app, name in applied():
        digest.update(f"{app}.{name}\n".encode())
    return digest.hexdigest()


def applied() -> list[tuple[str, str]]:
    """The migrations that the embedded database has."""
    import psycopg2

    url = urlsplit(os.environ["DATABASE_URL"])
    folder, name = unquote(url.path[1:]).rsplit("/", 1)
    connection = psycopg2.connect(host=folder, port=url.port, user=url.username, dbname=name)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return []
            cursor.execute("SELECT app, name FROM django_migrations ORDER BY app, name")
            return cursor.fetchall()
    finally:
        connection.close()
