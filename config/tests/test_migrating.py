"""`manage.py migrate` on separate databases: two processes at once, a table in use, and its time limits."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from config.database import migrating

pytestmark = [pytest.mark.timeout(300), pytest.mark.thorough]  # several processes, on a machine that may be busy


class Database:
    """An empty database beside that of the tests."""

    def __init__(self) -> None:
        self.name = f"migrating_{uuid4().hex[:12]}"
        self.given = connection.get_connection_params() | {"cursor_factory": None}
        self.given = {key: value for key, value in self.given.items() if key not in ("cursor_factory", "context")}
        self._administer(f"CREATE DATABASE {self.name}")
        url = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{self.name}"
        self.env = os.environ | {"DATABASE_URL": url}

    def _administer(self, command: str) -> None:
        with closing(psycopg2.connect(**self.given | {"dbname": "postgres", "options": ""})) as session:
            session.autocommit = True
            session.cursor().execute(command)

    def connect(self):
        return closing(psycopg2.connect(**self.given | {"dbname": self.name}))

    def migrate(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", "migrate", "-v0", *arguments],
            env=self.env, cwd=settings.BASE_DIR, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def drop(self) -> None:
        self._administer(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture
def database(db) -> Iterator[Database]:
    database = Database()
    yield database
    database.drop()


def test_two_migrates_of_an_empty_database_both_succeed(database: Database):
    processes = [database.migrate(), database.migrate()]

    outcomes = [(process.communicate(timeout=250)[1], process.returncode) for process in processes]

    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert sum("Another process is migrating" in said for said, _ in outcomes) == 1
    with database.connect() as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM testrunner_testenvironment")
        assert cursor.fetchone() == (100,)


def test_a_migration_waits_for_a_table_that_is_in_use_and_goes_on(database: Database):
    process = database.migrate("testrunner", "0006")
    assert process.communicate(timeout=250) and process.returncode == 0

    with database.connect() as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLE testrunner_testrun IN ACCESS SHARE MODE")  # for example a long report
        process = database.migrate()
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "A table is in use" in said and process.poll() is None
        session.rollback()

    assert process.communicate(timeout=250)[0] is None and process.returncode == 0


@pytest.mark.django_db(transaction=True)
def test_a_migration_has_limits_of_its_own_and_the_connection_has_its_own_again_afterwards():
    def limits() -> dict[str, str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(migrating.LIMITS)])
            return dict(cursor.fetchall())

    before = limits()
    assert before["statement_timeout"] == "30000"

    with migrating.own_limits(connection):
        assert limits() == {
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "lock_timeout": "4000",
        }

    assert limits() == before


def test_an_error_that_is_no_lock_timeout_is_raised_at_once(db):
    calls = []

    def work() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(0), 1 / (SELECT 0)")

    with pytest.raises(Exception, match="division by zero"):
        migrating.with_patience(work, print)

    assert calls == [1]
