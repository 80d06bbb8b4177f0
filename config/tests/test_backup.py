"""The backup and restore commands of docs/operations.md, run literally on an embedded Postgres."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings

from config.local.embedded.postgres import find_binaries
from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]  # it needs a dozen processes
DOCUMENT = Path(settings.BASE_DIR) / "docs/operations.md"
# Equivalents outside containers. There `opsroom` is not a superuser; here it is, so `app` replaces it.
HERE = {
    "docker compose exec -T postgres ": "",
    "docker compose run --rm --no-deps -T web tar -C /var/lib/opsroom ": "tar -C $OPSROOM_HOME ",
    "docker compose run --rm migrate": "$PYTHON manage.py migrate -v0",
}
ELSEWHERE = ("docker compose stop ", "docker compose up ")  # nothing runs here
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


def commands() -> list[list[str]]:
    """Return the two blocks of the chapter: the backup commands and the restore commands."""
    chapter = DOCUMENT.read_text().split("\n## Backup\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    return [[translated(line) for line in block.splitlines() if not line.startswith(ELSEWHERE)] for block in blocks]


def translated(line: str) -> str:
    for there, here in HERE.items():
        if line.startswith(there):
            return here + line.removeprefix(there).replace("-U opsroom", "-U app")
    raise AssertionError(f"not known how to run this here: {line}")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """Return an instance whose database belongs to an ordinary role."""
    with running_instance(tmp_path / "home") as instance:
        administer(instance, "CREATE ROLE app LOGIN", "DROP DATABASE opsroom", "CREATE DATABASE opsroom OWNER app")
        instance.env["DATABASE_URL"] = instance.env["DATABASE_URL"].replace("opsroom@", "app@")
        instance.manage("migrate", "-v0")
        yield instance


def administer(instance: Instance, *statements: str) -> None:
    with closing(psycopg2.connect(instance.dsn.replace("dbname=opsroom", "dbname=postgres"))) as session:
        session.autocommit = True
        for statement in statements:
            session.cursor().execute(statement)


def run(instance: Instance, command: str, folder: Path) -> None:
    """Run one command of the document in `folder`. It must succeed."""
    env = instance.env | {
        "PATH": f"{find_binaries()}:{os.environ['PATH']}",
        "PYTHONPATH": str(settings.BASE_DIR),
        "PGHOST": str(instance.postgres.sockets),
        "PGPORT": "5432",
        "PYTHON": sys.executable,
    }
    command = command.replace("manage.py", str(settings.BASE_DIR / "manage.py"))
    done = subprocess.run(command, shell=True, env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def counts(instance: Instance) -> dict[str, int]:
    return {table: instance.one(f'SELECT count(*) FROM "{table}"') for (table,) in instance.sql(TABLES)}


def test_a_backup_is_restored_twice_by_a_role_that_is_no_superuser(instance: Instance, tmp_path: Path):
    backup, restore = commands()
    instance.manage("create_fake_chats", "--total", "50", "-v0")
    instance.manage("create_fake_events", "--total", "500", "--days", "40", "-v0")
    picture = Path(instance.env["OPSROOM_HOME"]) / "media/picture.webp"
    for folder in (picture.parent, picture.parents[1] / "uploads"):
        folder.mkdir(exist_ok=True)
    picture.write_bytes(b"picture")
    before = counts(instance)
    assert (before["chats_chat"], before["events_event"]) == (50, 500)

    for _ in range(2):  # a restored database can be backed up again
        for command in backup:
            run(instance, command, tmp_path)
        instance.sql("TRUNCATE events_session")
        picture.unlink()
        for command in restore:
            run(instance, command, tmp_path)

        assert counts(instance) == before
        assert picture.read_bytes() == b"picture"
