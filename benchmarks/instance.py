"""Opsroom instance for benchmarks: durable services in $OPSROOM_HOME/bench, and processes started as needed."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from config.local import embedded
from config.local.embedded.home import Home
from config.local.embedded.postgres import find_binaries
from config.local.launcher import modules
from config.local.migrate_once import prepare
from config.local.supervisor import dying_with_us
from config.tests.ports import free_port

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PROJECT = Path(__file__).resolve().parent.parent
STARTING = 30.0  # seconds
STOPPING = 20.0  # seconds after which a process that does not terminate is killed


def set_up() -> Home:
    """Start the services, migrate, and set up Django in this process.

    Services configured in the environment are not used.
    """
    for name in embedded.SERVICES:
        os.environ.pop(name, None)
    os.environ["OPSROOM_HOME"] = str(Home.from_environment().path / "bench")
    os.environ |= {"PORT": str(free_port()), "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "WARNING"}
    embedded.use(durable=True)
    home = Home.from_environment()
    prepare(home.postgres, demo=False)
    forget_wakeups()
    return home


def forget_wakeups() -> None:
    """Empty the benchmarks' Redis: messages and heartbeats of an earlier run."""
    from redis import Redis

    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushall()


@contextlib.contextmanager
def process(name: str, argv: list[str], **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in its own process group until the block ends. Its log is $OPSROOM_HOME/log/<name>.log."""
    with (Home.from_environment().logs / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            [*dying_with_us(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=PROJECT,
            env=os.environ | {"OPSROOM_PROCESS": name} | env,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOPPING)
    with contextlib.suppress(ProcessLookupError):  # also kills what is left in its group
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def command(name: str) -> list[str]:
    """Return the launcher's command for this process (web, worker, beat)."""
    return [sys.executable, "-m", *modules(int(os.environ["PORT"]))[name]]


@contextlib.contextmanager
def web(name: str = "web", argv: list[str] | None = None, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the launcher's web process, or another server at $PORT. Yields once it answers /ping/."""
    with process(name, argv or command("web"), **env) as child:
        wait_until(lambda: get("/ping/") == 200, f"{name} answers")
        yield child


@contextlib.contextmanager
def worker(processes: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """Run the launcher's Celery worker. Yields once it has sent a heartbeat."""
    from django.core.cache import cache

    from config.processes.heartbeats import heartbeat_age

    cache.clear()
    argv = command("worker")
    argv[argv.index("-c") + 1] = str(processes)
    with process("worker", argv) as child:
        wait_until(lambda: heartbeat_age("worker") is not None, "the worker lives")
        yield child


def get(path: str) -> int:
    """Return the status of a GET at $PORT, or 0 without a response."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = STARTING, poll: float = 0.05) -> float:
    """Wait until the condition holds. Return the seconds waited. Raises TimeoutError."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > seconds:
            raise TimeoutError(f"Waited {seconds:g} s in vain until {what}: see {os.environ['OPSROOM_HOME']}/log")
        time.sleep(poll)
    return time.perf_counter() - started


def psql(statement: str) -> float:
    """Run one statement in psql. Return the seconds that psql reports for it."""
    url = urlsplit(os.environ["DATABASE_URL"])
    folder, name = unquote(url.path[1:]).rsplit("/", 1)
    argv = [str(find_binaries() / "psql"), "-X", "-h", folder, "-p", str(url.port), "-U", str(url.username), "-d", name]
    script = f"\\timing on\n{statement};\n"
    done = subprocess.run(
        [*argv, "-v", "ON_ERROR_STOP=1"], input=script, capture_output=True, text=True, check=True, timeout=600
    )
    return float(re.findall(r"Time: ([\d.]+) ms", done.stdout)[-1]) / 1000


def sql(*statements: str) -> Any:
    """Run statements one by one without a statement timeout. Return the first value of the last one."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def token(group: str = "") -> str:
    """Return a REST token of a superuser, or of a user who is only in this group."""
    from django.contrib.auth.models import Group

    from accounts.tokens import issue_token

    user = _person(group)
    if group:
        user.groups.set([Group.objects.get(name=group)])
    return issue_token(user=user)[1]


def _person(group: str = "") -> User:
    """Return a superuser, or a user without permissions. The user names are reserved for benchmarks."""
    from django.contrib.auth.models import User

    name = f"benchmark-{group or 'superuser'}"
    return User.objects.get_or_create(username=name, defaults={"is_superuser": not group, "is_staff": True})[0]


def cookie() -> dict[str, str]:
    """Return the name and value of a superuser's session cookie."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    user, session = _person(), SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return {"name": settings.SESSION_COOKIE_NAME, "value": session.session_key or ""}


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
