"""Opsroom behind a real PgBouncer in transaction mode, with fewer server connections than clients."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
import requests

from config.local.embedded.postgres import as_unprivileged
from config.tests.instance import Instance, running_instance
from config.tests.ports import free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer"),
]
CONFIGURATION = """
[databases]
opsroom = host={sockets} port=5432 dbname=opsroom user=opsroom
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = opsroom
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""
PEOPLE = """
from django.contrib.auth.models import User
User.objects.create_superuser('ada', password='12345')
"""
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Pooler:
    """A PgBouncer in front of an instance's Postgres."""

    def __init__(self, folder: Path, instance: Instance) -> None:
        self.port = free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(sockets=instance.postgres.sockets, port=self.port))
        self.log = (folder / "pgbouncer.log").open("wb")
        assert PGBOUNCER is not None
        command = [*as_unprivileged(), PGBOUNCER, str(configuration)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        instance.wait_for(self.answers)

    def connect(self, database: str = "opsroom") -> Any:
        return closing(psycopg2.connect(host="127.0.0.1", port=self.port, user="opsroom", dbname=database))

    def answers(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg2.OperationalError:
            return False

    def reconnect(self) -> None:
        with self.connect("pgbouncer") as console:
            console.autocommit = True
            console.cursor().execute("RECONNECT")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        pooler = Pooler(tmp_path, instance)
        direct = instance.env["DATABASE_URL"]
        pooled = f"postgres://opsroom@127.0.0.1:{pooler.port}/opsroom"
        instance.env |= {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": direct}
        instance.manage("migrate", "-v0")  # gives the role its limits
        pooler.reconnect()
        instance.shell(PEOPLE)
        instance.manage("create_fake_chats", "--total", "2000", "-v0")
        instance.start_web()
        instance.start_worker()
        instance.start_runner()
        instance.start_beat()
        try:
            yield instance
        finally:
            pooler.close()


class Api:
    """REST client of a superuser with a token."""

    def __init__(self, instance: Instance) -> None:
        self.url = instance.url
        answer = requests.post(f"{self.url}/auth/token/", json={"username": "ada", "password": "12345"}, timeout=30)
        self.headers = {"Authorization": f"Token {answer.json()['token']}"}

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.url + path, **{"headers": self.headers, "timeout": 60, **more})


def one_event(number: int) -> dict[str, Any]:
    data = {"number": number}
    return {"event_id": str(uuid4()), "session_id": f"s{number % 50}", "category": "page", "name": "view", "data": data,
            "timestamp": "2026-01-05T10:00:00Z"}  # fmt: skip


def test_everything_works_with_fewer_server_connections_than_clients(instance: Instance):
    api = Api(instance)
    instance.wait_for(lambda: requests.get(f"{instance.url}/health/", timeout=10).ok)
    key = api.ask("POST", "/applications/", json={"name": "Website"}).json()["write_key"]

    def work(number: int) -> list[int]:
        """Send a small or large batch of events, and read lists."""
        size = 1 if number % 10 else 200
        events = [one_event(number * 1_000 + at) for at in range(size)]
        sent = api.ask("POST", "/events/", json=events, headers={"Authorization": f"Bearer {key}"})
        read = [api.ask("GET", path) for path in ("/projects/", "/tasks/", "/chats/", "/events/", "/test-runs/")]
        return [sent.status_code, *(answer.status_code for answer in read)]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(work, range(100)))

    assert answers == [[202, 200, 200, 200, 200, 200]] * 100
    stored = 90 + 10 * 200
    assert instance.one("SELECT count(*) FROM events_event") == stored

    exported = api.ask("GET", "/events/export/?format=ndjson")
    assert len({json.loads(line)["event_id"] for line in exported.text.splitlines()}) == stored

    sent = api.ask("POST", "/broadcasts/", json={"text": "To everybody", "audience": "all"})
    assert sent.status_code in (201, 202), sent.text
    instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sent")
    assert instance.one("SELECT count(*) FROM chats_message WHERE broadcast_id IS NOT NULL") == 2_000

    instance.wait_for(lambda: instance.one("SELECT sum(event_count) FROM events_session") == stored)


def test_sessions_of_the_pooler_have_the_time_limits_and_one_without_them_is_reported(instance: Instance):
    def health() -> dict[str, Any]:
        return requests.get(f"{instance.url}/health/", timeout=10).json()["parts"]["database"]

    instance.wait_for(lambda: health()["ok"])

    instance.sql("ALTER ROLE opsroom IN DATABASE opsroom RESET ALL")
    instance.sql(END_SESSIONS)

    instance.wait_for(lambda: "no time limits" in health()["detail"])
    instance.manage("migrate", "-v0")
    instance.sql(END_SESSIONS)
    instance.wait_for(lambda: health()["ok"])
