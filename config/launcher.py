"""`make run`: the services, the database, and the three processes, as one thing that starts and stops."""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO, Any

from config import embedded
from config.database import is_prepared, prepare
from config.supervisor import Command, Supervisor

PROJECT = Path(__file__).resolve().parent.parent
POLL = 0.1  # seconds between two looks at /health/
SLOW = 60.0  # seconds after which to say what is not ready


class LaunchError(Exception):
    """Says in one sentence why Opsroom cannot run, and how to mend it."""


def main() -> int:
    """Run Opsroom until Ctrl-C or SIGTERM (0) or until one of its processes ends (1)."""
    for number in (signal.SIGINT, signal.SIGTERM):  # both mean the same; a shell may have SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return launch()
    except KeyboardInterrupt:
        return 0
    except (LaunchError, embedded.EmbeddedError) as error:
        print(error, file=sys.stderr)
        return 1


def launch() -> int:
    port = free_port(os.environ.get("PORT") or "8000")
    own_database = not os.environ.get("DATABASE_URL")
    home = embedded.use_local_settings()
    os.environ |= {"PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings"}
    with only_one(home.run / "launcher.lock", port):
        embedded.use()
        if not own_database or not is_prepared(home.postgres):
            print("Preparing the database", flush=True)
            prepare(home.postgres, demo=own_database)
        ended = asyncio.run(supervise(port, credentials=own_database))
    if ended is not None:
        print(ended, file=sys.stderr)
    return 0 if ended is None else 1


async def supervise(port: int, *, credentials: bool) -> str | None:
    started = time.time()

    async def announce() -> None:
        await until_ready(port, started)
        login = "  (admin / 12345)" if credentials else ""
        print(f"Opsroom is ready: http://127.0.0.1:{port}/admin/{login}", flush=True)

    return await Supervisor(commands(port), cwd=PROJECT).run(announce)


def commands(port: int) -> list[Command]:
    """The processes of one machine: see docs/architecture.md for what each is for."""
    python = [sys.executable, "-m"]
    web = [
        *(*python, "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port)),
        *("--lifespan", "off", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"),
        "--no-proxy-headers",  # the settings say whom to believe: TRUST_FORWARDED_PROTO, PROXY_COUNT
        *("--http", "config.protocol:LimitedProtocol", "--ws", "config.protocol:LimitedSocket"),
        *("--ws-max-size", "65536", "--ws-per-message-deflate", "false"),
    ]
    # Celery warns a root user at length of pickled messages; ours are JSON, and CI and containers are root.
    celery = [sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "-q", "-A", "config.celery"]
    # Nobody else listens: gossip and mingle only cost a second at the start.
    alone = ["--without-gossip", "--without-mingle"]
    worker = [*celery, "worker", "-n", "worker@%h", "-Q", "default,broadcasts,events", "-c", "2", *alone]
    # Threads, since each run is a process of its own.
    slots = os.environ.get("TESTRUN_SLOTS") or "2"
    runner = [*celery, "worker", "-n", "runner@%h", "-Q", "testruns", "-P", "threads", "-c", slots, *alone]
    beat = [*celery, "beat", "--pidfile="]
    named = {"web": web, "worker": worker, "runner": runner, "beat": beat}
    return [Command(name, argv, {"OPSROOM_PROCESS": name}) for name, argv in named.items()]


async def until_ready(port: int, started: float) -> None:
    """Return when every part answers; after a minute say which does not, and go on waiting."""
    say_at = time.monotonic() + SLOW
    while (problem := await asyncio.to_thread(what_is_missing, port, started)) is not None:
        if time.monotonic() > say_at:
            print(f"Opsroom is not ready yet: {problem}.", file=sys.stderr, flush=True)
            say_at += SLOW
        await asyncio.sleep(POLL)


def what_is_missing(port: int, started: float) -> str | None:
    """Which parts do not answer, or None. A sign of life from before `started` was left by an earlier run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health/")
        parts: dict[str, Any] = json.load(connection.getresponse())["parts"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return "web does not answer"
    finally:
        connection.close()
    running = time.time() - started
    waiting = {
        name: part["detail"] if not part["ok"] else "not heard of yet"
        for name, part in parts.items()
        if not part["ok"] or (part.get("age") or 0) > running
    }
    return ", ".join(f"{name} {detail}" for name, detail in waiting.items()) or None


def free_port(wanted: str) -> int:
    """The port as a number. Raises LaunchError if it is none, or cannot be listened at."""
    if not wanted.isdecimal() or not 0 < int(wanted) < 65536:
        raise LaunchError(f"PORT={wanted} is not a port: choose a number from 1024 to 65535, as in make run PORT=8001")
    port = int(wanted)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except PermissionError:
            raise LaunchError(f"Only root may listen at port {port}: make run PORT=8000") from None
        except OSError:
            other = port + 1 if port < 65535 else 8000
            raise LaunchError(f"Port {port} is in use by another program: make run PORT={other}") from None
    return port


def only_one(path: Path, port: int) -> IO[str]:
    """Hold the launcher's lock until closed. Raises LaunchError if Opsroom runs from this folder already."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        where = lock.read()
        lock.close()
        raise LaunchError(
            f"Opsroom runs already from {path.parents[1]}, at {where}:"
            " a second copy needs a folder of its own, make run PORT=8001 OPSROOM_HOME=.opsroom-2"
        ) from None
    lock.truncate(0)
    lock.write(f"http://127.0.0.1:{port}/admin/")
    lock.flush()
    return lock


if __name__ == "__main__":
    sys.exit(main())
