"""Embedded PostgreSQL and Redis for a local Opsroom without external services: no root, no Docker, no TCP port.

Every process that uses the servers holds a shared lock on `run/users.lock`. A process that starts or stops them holds
`run/gate.lock` exclusively. The last user stops them, or leaves that to a process
(config/local/embedded/stop_when_idle.py), which stops them later. The kernel releases the locks of a killed process, so
nothing stays locked: servers that a kill -9 left running are found, used and stopped by the next user.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import os
import signal
import sys
import threading
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from .home import EmbeddedError, Home, is_unused

if TYPE_CHECKING:
    from .processes import Server

__all__ = ["EmbeddedError", "Home", "missing", "use", "use_local_settings"]

SERVICES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")


def missing() -> list[str]:
    """Return the names of the services that the environment does not name."""
    return [name for name in SERVICES if not os.environ.get(name)]


def use(*, durable: bool = True, keep: float = 0) -> list[str]:
    """Start the services that the environment does not name, and name them there.

    Returns when all of them respond; they run until this process ends. A second call does nothing. `durable=False`
    gives up crash safety for speed, for tests. With `keep` the servers run until they were unused for that many
    seconds. Raises EmbeddedError. Returns the names of the servers that were already running without a user.
    """
    if not missing():
        return []
    if importlib.util.find_spec("psutil") is None:  # installed with the wheels, but not in a production image
        raise EmbeddedError(
            f"{', '.join(missing())} must be set, or `make setup` run: the embedded services are not installed here."
        )
    home = use_local_settings()
    redis_url = os.environ.get("REDIS_URL")
    if redis_url and not os.environ.get("CELERY_BROKER_URL"):
        os.environ["CELERY_BROKER_URL"] = broker_in(redis_url)
    return start(home, durable=durable, keep=keep) if missing() else []


def use_local_settings() -> Home:
    """Set what every local instance needs in the environment: its folder and its secret key."""
    home = Home.from_environment()
    home.prepare()
    os.environ["OPSROOM_HOME"] = str(home.path)
    os.environ["OPSROOM_LOCAL"] = "1"
    if not os.environ.get("PORT") and (port := home.port()):
        os.environ["PORT"] = str(port)  # the running web process's, for links and cookies of another command
    if not os.environ.get("SECRET_KEY"):
        with home.gate():
            os.environ["SECRET_KEY"] = home.secret_key()
    return home


def start(home: Home, *, durable: bool, keep: float) -> list[str]:
    """Start or find the missing servers, and become one of their users; return those that were left running."""
    # Imported here: if all services are named, neither these modules nor the wheels behind them are needed.
    from . import stop_when_idle
    from .servers import servers_of

    with home.gate():
        servers = [server for server in servers_of(home, durable=durable) if not os.environ.get(server.variable)]
        named = {server.variable: server.url for server in servers}
        if "REDIS_URL" in named and not os.environ.get("CELERY_BROKER_URL"):
            named["CELERY_BROKER_URL"] = broker_in(named["REDIS_URL"])
        users = (home.run / "users.lock").open("a")
        left = [server.name for server in servers if server.find()] if is_unused(users) else []
        for server in servers if left else ():
            server.stop_outdated()
        fcntl.flock(users, fcntl.LOCK_SH)
        leave_at_exit(home, servers, users, keep=keep)
        for server in servers:
            server.ensure()
        if keep:
            stop_when_idle.start(home, servers, keep)
    os.environ.update(named)
    return left


def leave_at_exit(home: Home, servers: list[Server], users: IO[str], *, keep: float) -> None:
    """When this process ends (not one forked from it), stop the servers if no other process uses them.

    With `keep` a separate process stops them later.
    """
    from . import stop_when_idle

    owner = os.getpid()

    def leave() -> None:
        if os.getpid() != owner:
            return
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):  # a second signal must not prevent the stop
                signal.signal(number, signal.SIG_IGN)
        with home.gate(), users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            if keep and stop_when_idle.is_running(home):
                os.utime(users.fileno())  # records the time of the last use
                return
            for server in servers:
                server.stop()
            home.remove_sockets()

    atexit.register(leave)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # By default SIGTERM ends a process without its exit handlers, and the servers would stay.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def broker_in(redis_url: str) -> str:
    """Return Celery's URL of a Redis's database 0: `unix:///path` becomes `redis+socket:///path?virtual_host=0`."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?virtual_host=0"
    return parts._replace(path="/0").geturl()
