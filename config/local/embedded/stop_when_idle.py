"""Stop embedded servers that are not used any more: `python -m config.local.embedded.stop_when_idle SECONDS`, started
by tests.

Between two test runs the servers keep running, so that the second run need not wait for them. This process stops them,
and ends, after they were unused for SECONDS. On SIGTERM it does so at once, unless they are in use.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from config.local.embedded.home import Home, is_unused
from config.local.embedded.processes import Server
from config.local.embedded.servers import servers_of

POLL = 10.0  # seconds


def start(home: Home, servers: Iterable[Server], seconds: float) -> None:
    """Start this module as a process for these running servers in `home`, unless one runs. The caller holds the gate.

    It gets their process ids, so that it can stop them even if the folder is deleted before it has started.
    """
    with _lock_file(home).open("a") as lock:
        if not _locks(lock.fileno()):
            return
        running = [f"{server.name}={server.process.pid}" for server in servers if server.process]
        process = subprocess.Popen(  # noqa: S603  our own arguments
            [sys.executable, "-m", __name__, str(seconds), *running],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home.path,
            env={"OPSROOM_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
            pass_fds=[lock.fileno()],  # it holds the lock as long as it runs
            start_new_session=True,  # not reached by Ctrl-C
        )
        process.returncode = 0  # it outlives this process; otherwise subprocess would print a warning


def is_running(home: Home) -> bool:
    """Return whether such a process is responsible for the servers in `home`."""
    with _lock_file(home).open("a") as lock:
        return not _locks(lock.fileno())


def _lock_file(home: Home) -> Path:
    return home.run / "stop_when_idle.lock"


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main(seconds: float, running: dict[str, int]) -> None:
    """Stop the servers after they were unused for `seconds`; `running` holds their process ids by name."""
    home = Home.from_environment()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with contextlib.suppress(FileNotFoundError):  # the folder may be deleted already
        _lock_file(home).write_text(f"{os.getpid()}\n")  # from here on it listens to signals
    servers = servers_of(home, durable=False)
    for server in servers:
        with contextlib.suppress(psutil.NoSuchProcess, KeyError):
            server.process = psutil.Process(running[server.name])
    last_use, mark = time.monotonic(), 0
    while True:
        stop.wait(min(POLL, seconds))
        try:
            with home.gate(), (home.run / "users.lock").open("a") as users:
                unused, changed = is_unused(users), os.fstat(users.fileno()).st_mtime_ns
                if not unused or changed != mark:
                    last_use, mark = time.monotonic(), changed
                if unused and (stop.is_set() or time.monotonic() - last_use >= seconds):
                    for server in servers:
                        server.stop()
                    home.remove_sockets()
                    return
        except FileNotFoundError:  # the folder was deleted
            for server in servers:
                server.stop()
            return
        stop.clear()


if __name__ == "__main__":
    main(float(sys.argv[1]), {name: int(pid) for name, _, pid in (each.partition("=") for each in sys.argv[2:])})
