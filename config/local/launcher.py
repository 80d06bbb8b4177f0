"""`make run`: starts and stops the services, the database and the processes together."""

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
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from config.local import embedded
from config.local.demo_password import DEMO_PASSWORD, WARNING
from config.local.migrate_once import is_prepared, prepare
from config.local.output import Output
from config.local.supervisor import ProcessCommand, Supervisor

PROJECT = Path(__file__).resolve().parents[2]
POLL = 0.1  # seconds between two requests to /health/
MAX_SLOTS = 64
SLOW = 60.0  # seconds after which to report what is not ready


class LaunchError(Exception):
    """One sentence that says why Opsroom cannot run and how to fix it."""


def main() -> int:
    """Run Opsroom until Ctrl-C or SIGTERM and return 0, or print why it cannot run and return 1."""
    for number in (signal.SIGINT, signal.SIGTERM):  # handled alike; a shell may start processes with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return launch()
    except KeyboardInterrupt:
        hear_no_more_signals()
        return 0
    except (LaunchError, embedded.EmbeddedError) as error:
        print(error, file=sys.stderr)
        return 1


def launch() -> int:
    port = free_port(os.environ.get("PORT") or "8000")
    own_database = not os.environ.get("DATABASE_URL")
    home = embedded.use_local_settings()
    os.environ |= {"PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings"}
    with only_one(home.lock, port):
        servers = bool(embedded.missing())
        if left := embedded.use():
            print(f"Using {' and '.join(left)}, which an earlier run that was killed has left running.", flush=True)
        if servers:
            from config.local.embedded.stop_after_kill import (
                stop_servers_if_killed,  # needs packages of a local installation
            )

            stop_servers_if_killed(home)
        if not own_database or not is_prepared(home.postgres):
            print("Preparing the database", flush=True)
            prepare(home.postgres, demo=own_database)
        asyncio.run(supervise(port, credentials=own_database))
    return 0


async def supervise(port: int, *, credentials: bool) -> None:
    """Run the processes until a signal arrives. Further signals wait until the servers are stopped, too."""
    started = time.time()

    async def announce(output: Output) -> None:
        await until_ready(port, started, output.say)
        login = f"  (admin / {DEMO_PASSWORD})" if credentials else ""
        output.say(f"Opsroom is ready: http://127.0.0.1:{port}/admin/{login}")
        if credentials:
            output.say(WARNING)

    try:
        await Supervisor(commands(port), cwd=PROJECT).run(announce)
    finally:
        hear_no_more_signals()


def hear_no_more_signals() -> None:
    """Block signals until the process ends, so that none interrupts the exit handler that stops the servers.

    For example, the event loop removes its handlers when it is closed: a SIGTERM would then end this process at once.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def commands(port: int) -> list[ProcessCommand]:
    """Return the processes of one machine, each under its watchdog (config/processes/watchdog.py)."""
    watchdog = [sys.executable, "-m", "config.processes.watchdog"]
    return [
        ProcessCommand(name, [*watchdog, name, "-m", *module], {"OPSROOM_PROCESS": name})
        for name, module in modules(port).items()
    ]


def modules(port: int) -> dict[str, list[str]]:
    """Return module and arguments of each process; docs/architecture/platform.md describes the processes."""
    web = [
        *("uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port)),
        *("--lifespan", "on", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"),
        "--no-proxy-headers",  # the settings decide which headers to trust: TRUST_FORWARDED_PROTO, PROXY_COUNT
        *("--http", "config.server.http_protocol:LimitedProtocol", "--ws", "config.server.http_protocol:LimitedSocket"),
        *("--ws-max-size", "65536", "--ws-per-message-deflate", "false"),
    ]
    celery = ["celery", "-q", "-A", "config.celery"]
    # No process reads the workers' gossip and heartbeats. They cost a second at the start, and sending a heartbeat to
    # a Redis that does not respond blocks the loop for longer than the watchdog allows.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = [*celery, "worker", "-n", "worker@%h", "-Q", "default,broadcasts,events", "-c", "2", *alone]
    # Threads, because each run is a process of its own.
    slots = number_of_slots(os.environ.get("TESTRUN_SLOTS") or "2")
    runner = [*celery, "worker", "-n", "runner@%h", "-Q", "testruns", "-P", "threads", "-c", slots, *alone]
    beat = [*celery, "beat", "--pidfile="]
    return {"web": web, "worker": worker, "runner": runner, "beat": beat}


async def until_ready(port: int, started: float, say: Callable[[str], None]) -> None:
    """Return when every part responds. After each SLOW seconds report which part does not."""
    say_at = time.monotonic() + SLOW
    while (problem := await asyncio.to_thread(what_is_missing, port, started)) is not None:
        if time.monotonic() > say_at:
            say(f"Opsroom is not ready yet: {problem}.")
            say_at += SLOW
        await asyncio.sleep(POLL)


def what_is_missing(port: int, started: float) -> str | None:
    """Return which parts do not respond, or None. A heartbeat from before `started` is from an earlier run."""
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


def number_of_slots(wanted: str) -> str:
    """Return the number of concurrent test runs. Raises LaunchError if it is not a number from 1 to MAX_SLOTS."""
    if wanted.isascii() and wanted.isdecimal() and 0 < int(wanted) <= MAX_SLOTS:
        return wanted
    raise LaunchError(f"TESTRUN_SLOTS must be a whole number from 1 to {MAX_SLOTS}: {wanted[:50]}")


def free_port(wanted: str) -> int:
    """Return the port as a number. Raises LaunchError if it is not a valid port, or cannot be listened on."""
    if not wanted.isdecimal() or not 0 < int(wanted) < 65536:
        raise LaunchError(f"PORT={wanted} is not a port: choose a number from 1024 to 65535, as in make run PORT=8001")
    port = int(wanted)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the web server
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
    """Hold the launcher's lock until the file is closed. Raises LaunchError if Opsroom already runs in this folder."""
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
