"""Test databases are copies of a template that is created once, also by concurrent workers or after a kill."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config.tests import template_database

WORKER = """
import sys
import django
django.setup()
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from config.tests import template_database

base, number = sys.argv[1:]
connection.settings_dict["NAME"] = base
connection.settings_dict["TEST"]["NAME"] = f"test_{base}_{number}"
template_database.create()
print(MigrationRecorder.Migration.objects.count(), flush=True)
template_database.drop()
"""


@pytest.fixture
def base() -> Iterator[str]:
    """Yield the base name of the databases, and drop them at the end."""
    base = f"template_{uuid4().hex[:12]}"
    yield base
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"test_{base}_%"])
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def worker(base: str, number: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, base, str(number)],
        stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR, env=environment,
    )  # fmt: skip


def template(base: str) -> tuple[int, str | None] | None:
    """Return the template's object id, which is new for each template, and its comment."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(
            "SELECT oid, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            [f"test_{base}_template"],
        )
        return cursor.fetchone()


@pytest.mark.django_db
def test_this_test_runs_on_a_copy_of_the_template():
    base, _, _ = connection.settings_dict["NAME"].removeprefix("test_").partition("_gw")

    assert template(base)[1] == template_database.fingerprint()
    assert MigrationRecorder.Migration.objects.exists()


def test_a_change_of_what_is_migrated_is_another_template(tmp_path: Path, settings):
    settings.BASE_DIR = tmp_path
    folder = tmp_path / "chats" / "migrations"
    folder.mkdir(parents=True)
    fingerprints = {template_database.fingerprint()}
    for name, text in [("0001_initial.py", "a"), ("0001_initial.py", "b"), ("0002_more.py", "b")]:
        (folder / name).write_text(text)
        fingerprints.add(template_database.fingerprint())
    (tmp_path / "chats" / "views.py").write_text("c")

    assert len(fingerprints) == 4
    assert template_database.fingerprint() in fingerprints


def test_every_pattern_of_what_is_migrated_finds_files():
    assert [pattern for pattern in template_database.SOURCES if not any(settings.BASE_DIR.glob(pattern))] == []


def test_tomorrow_the_template_is_made_again_as_its_partitions_depend_on_the_day():
    with time_machine.travel("2026-11-30T23:59:59Z"):
        today = template_database.fingerprint()
    with time_machine.travel("2026-12-01T00:00:00Z"):
        assert template_database.fingerprint() != today


@pytest.mark.thorough
@pytest.mark.django_db
def test_workers_that_ask_at_once_get_copies_of_one_template(base: str):
    workers = [worker(base, number) for number in range(3)]
    counts = {process.communicate()[0] for process in workers}
    made = template(base)

    again = worker(base, 3)

    assert counts == {again.communicate()[0]} == {f"{MigrationRecorder.Migration.objects.count()}\n"}
    assert template(base) == made


@pytest.mark.thorough
@pytest.mark.django_db
def test_a_template_whose_maker_was_killed_is_made_again(base: str):
    killed = worker(base, 0)
    while template(base) is None:
        assert killed.poll() is None
        time.sleep(0.01)
    half_made = template(base)
    killed.kill()
    killed.communicate()
    assert half_made[1] is None

    heir = worker(base, 1)

    assert heir.communicate()[0] == f"{MigrationRecorder.Migration.objects.count()}\n"
    assert template(base)[0] != half_made[0]
    assert template(base)[1] == template_database.fingerprint()
