"""A complete Opsroom in real processes, for fault injection.

Its Postgres and Redis are embedded ones in a folder of the test. The broker is the one that CELERY_BROKER_URL names (CI
runs these tests on RabbitMQ, too), through a proxy that can be cut, or else that embedded Redis.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg2
import requests

from config.local.embedded import Home, broker_in
from config.local.embedded.postgres import Postgres
from config.local.embedded.valkey import Valkey
from config.local.launcher import modules
from config.tests.ports import free_port
from config.tests.proxy import Proxy

PROJECT = Path(__file__).resolve().parents[2]
RECOVERY = 45.0  # seconds; design.md's limit for recovery without intervention
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "10"))  # repetitions of each fault
SUPERVISE = """
import asyncio, os
from config.local.launcher import PROJECT, commands
from config.local.supervisor import Supervisor
asyncio.run(Supervisor(commands(int(os.environ["PORT"])), cwd=PROJECT).run(lambda output: asyncio.sleep(0)))
"""
# Executes code from standard input, one line of JSON each, and answers each with a line.
INTERPRETER = """
import json, sys, traceback
import django
django.setup()
from django.core.management.commands.shell import Command
from django.db import connections
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    try:
        exec(json.loads(line), Command().get_namespace(verbosity=0))
        answer = "done"
    except Exception:
        traceback.print_exc()
        answer = "failed"
    connections.close_all()
    print(answer, file=answers, flush=True)
"""
SECRET = "of-a-test-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGH"

ALONE = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
WORKER = ["celery", "-q", "-A", "config.celery", "worker", *ALONE]


@contextlib.contextmanager
def frozen(server: psutil.Process | None) -> Iterator[None]:
    """Suspend a server and all its children; resume them at the end of the block."""
    assert server is not None
    family = [server, *server.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # a server's children may end at any time
            process.suspend()
    try:
        yield
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


class Instance:
    """Servers and processes of one instance. Methods start them, and `close` stops them, by process id."""

    def __init__(self, folder: Path, **settings: str) -> None:
        is_migrated = (folder / "postgres" / "data").exists() and not settings  # some settings affect `migrate`
        home = Home(folder)
        home.prepare()
        self.postgres = Postgres(home, durable=True)
        self.valkey = Valkey(home, durable=True)
        self.postgres.ensure()
        self.valkey.ensure()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.interpreter: subprocess.Popen[str] | None = None
        self.log = (folder / "processes.log").open("ab")
        self.port = free_port()
        self.broker = _outside_broker()
        self.env = os.environ | {
            "OPSROOM_HOME": str(folder),
            "OPSROOM_LOCAL": "1",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "CELERY_BROKER_URL": self.broker.url if self.broker else broker_in(self.valkey.url),
            "CACHE_PREFIX": f"chaos-{self.port}",
            "SECRET_KEY": SECRET,
            "PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **settings,
        }
        if not is_migrated:
            self.manage("migrate", "-v0")

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        if self.interpreter:
            self.interpreter.communicate()
        if self.broker:
            self.broker.close()
        self.valkey.stop()
        self.postgres.stop()
        self.log.close()

    def manage(self, *arguments: str) -> None:
        """Run a management command and wait for its end."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=PROJECT, env=self.env, stdout=self.log, stderr=self.log
        )
        assert done.returncode == 0, f"manage.py {arguments} failed: see {self.log.name}"

    def shell(self, code: str) -> None:
        self.manage("shell", "-v0", "-c", code)

    def run(self, code: str) -> None:
        """Run code as `shell` does, but in one process for all calls: Django takes two seconds to start."""
        if self.interpreter is None:
            self.interpreter = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", INTERPRETER],
                cwd=PROJECT, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            )  # fmt: skip
        assert self.interpreter.stdin and self.interpreter.stdout
        self.interpreter.stdin.write(json.dumps(code) + "\n")
        self.interpreter.stdin.flush()
        assert self.interpreter.stdout.readline() == "done\n", f"see {self.log.name}"

    def start_worker(self, name: str = "worker", *, processes: int = 2) -> None:
        self._start(name, [*WORKER, "-n", f"{name}@%h", "-Q", "default,broadcasts,events", "-c", str(processes)])

    def start_runner(self, name: str = "runner", *, slots: int = 2) -> None:
        self._start(name, [*WORKER, "-n", f"{name}@%h", "-Q", "testruns", "-P", "threads", "-c", str(slots)])

    def start_beat(self) -> None:
        self._start("beat", ["celery", "-q", "-A", "config.celery", "beat", "--pidfile="])

    def start_all(self) -> None:
        """Start web, worker, runner and beat under their watchdogs and the supervisor, as `make run` does."""
        self.processes["all"] = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE],
            cwd=PROJECT, env=self.env, stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip

    def watchdog(self, name: str) -> psutil.Process:
        """Return the watchdog of a process that `start_all` started."""
        for each in psutil.Process(self.processes["all"].pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # killed a moment ago
                if each.cmdline()[3:4] == [name]:
                    return each
        raise psutil.NoSuchProcess(None, f"the watchdog of {name}")

    def watched(self, name: str) -> psutil.Process:
        """Return the process itself. Raises psutil.NoSuchProcess or StopIteration while it is being restarted."""
        return next(iter(self.watchdog(name).children()))

    def health(self) -> dict[str, Any]:
        """Return the parts of /health/ by name; empty if it does not respond."""
        with contextlib.suppress(requests.RequestException, ValueError):
            parts: dict[str, Any] = requests.get(f"{self.url}/health/", timeout=10).json()["parts"]
            return parts
        return {}

    def is_well(self) -> bool:
        parts = self.health()
        return bool(parts) and all(part["ok"] for part in parts.values())

    def start_web(self) -> None:
        self.begin_web("web", self.port)
        self.wait_for(lambda: self.answers(self.port))

    def begin_web(self, name: str, port: int) -> None:
        """Start one of several web processes, each at its own port, without waiting for it."""
        self._start(name, modules(port)["web"])

    def _start(self, name: str, module: list[str]) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *module],
            cwd=PROJECT, env=self.env, stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip

    def answers(self, port: int) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{port}/ping/", timeout=2).ok
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self, name: str) -> None:
        """Send SIGKILL to a process and all its children."""
        process = self.processes.pop(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(signal.SIGKILL)
        process.wait(10)

    def children(self, name: str) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.processes[name].pid).children()
        return []

    def crash_postgres(self) -> None:
        """Crash Postgres as in a power cut, and start it again."""
        process = self.postgres.find()
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        self.postgres.ensure()

    @contextlib.contextmanager
    def frozen_postgres(self) -> Iterator[None]:
        """Suspend all processes of Postgres, as with a stalled disk or a migrating virtual machine."""
        with frozen(self.postgres.find()):
            yield

    def stop_broker(self) -> None:
        if self.broker:
            self.broker.cut()
        else:
            self.valkey.stop()

    def start_broker(self) -> None:
        if self.broker:
            self.broker.mend()
        else:
            self.valkey.ensure()

    def sql(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run one query on a separate connection, with retries while Postgres is unreachable."""
        until = time.monotonic() + 30
        while True:
            try:
                with (
                    contextlib.closing(psycopg2.connect(self.dsn)) as connection,
                    connection,
                    connection.cursor() as cur,
                ):
                    cur.execute(query, arguments)
                    return cur.fetchall() if cur.description else []
            except psycopg2.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _sql(self, query: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with contextlib.closing(psycopg2.connect(self.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []

    @property
    def dsn(self) -> str:
        return f"host={self.postgres.sockets} port=5432 user=opsroom dbname=opsroom"

    def one(self, query: str, *arguments: object) -> Any:
        return self.sql(query, *arguments)[0][0]

    def wait_for(self, condition: Callable[[], bool], seconds: float = RECOVERY) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not within {seconds:.0f} s: see {self.log.name}"
            time.sleep(0.1)


@contextlib.contextmanager
def running_instance(folder: Path, *, demo: bool = False, **settings: str) -> Iterator[Instance]:
    """Run an instance with its data in `folder`. A new folder is a copy of a prepared one, with demo rows if wanted."""
    if not folder.exists():
        _copy(_prepared(demo), folder)
    instance = Instance(folder, **settings)
    try:
        yield instance
    finally:
        instance.close()


@functools.cache
def _prepared(demo: bool) -> Path:
    """Return the folder of a stopped instance, made once per process: migrations and demo data take ten seconds."""
    folder = Path(tempfile.mkdtemp(prefix="opsroom-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "home"
    if demo:
        _copy(_prepared(False), home)
    instance = Instance(home)
    try:
        if demo:
            instance.manage("create_demo")
    finally:
        instance.close()
    return home


def _copy(home: Path, folder: Path) -> None:
    subprocess.run(["cp", "-a", str(home), str(folder)], check=True)  # keeps the owner: for root it is another user
    shutil.rmtree(folder / "run")  # sockets and locks


def _outside_broker() -> Proxy | None:
    url = os.environ.get("CELERY_BROKER_URL", "")
    return Proxy(url) if urlsplit(url).scheme in ("amqp", "pyamqp") else None
