"""Migration of the database before the processes start, skipped cheaply if there is nothing to do.

Loading Django just to find nothing to migrate would cost a second at every start. So the launcher stores a fingerprint
of the project's migrations and of those that the database has applied. If it still matches, the database is up to date.
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
    """Return whether the fingerprint stored in `folder` matches the embedded database and the project."""
    try:
        return (folder / NOTE).read_text() == fingerprint()
    except OSError:
        return False


def prepare(folder: Path, *, demo: bool) -> None:
    """Migrate, create the demo data if that was never done, and store the fingerprint."""
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
    """Return a hash of the project's migrations, the libraries' versions, and the applied migrations."""
    digest = hashlib.sha256()
    for path in [PROJECT / "requirements-embedded.txt", *sorted(PROJECT.glob("*/migrations/*.py"))]:
        digest.update(str(path.relative_to(PROJECT)).encode() + b"\0" + path.read_bytes() + b"\0")
    for app, name in applied():
        digest.update(f"{app}.{name}\n".encode())
    return digest.hexdigest()


def applied() -> list[tuple[str, str]]:
    """Return (app, name) of the migrations that the embedded database has applied."""
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
