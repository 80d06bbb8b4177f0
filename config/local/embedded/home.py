"""$OPSROOM_HOME: the folder with the data, sockets and logs of the embedded services and the instance's secret key."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parents[3]
# A socket's address has at most 104 bytes on macOS and 108 on Linux, including PostgreSQL's socket name and a NUL.
MAX_SOCKET_DIR_LENGTH = 104 - len("/.s.PGSQL.5432") - 1
# A path of these characters needs no quoting in the URLs and configuration files that contain it.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
LOG_LIMIT = 10 * 1024 * 1024  # bytes; a longer log is renamed at the next start


class EmbeddedError(Exception):
    """One sentence that says why an embedded service is not available and how to fix it."""


class Home:
    """The folder of one local instance. It and its folders have mode 0700 and belong to the user who runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.valkey = path / "valkey"
        self.run = path / "run"
        self.logs = path / "log"
        self.media = path / "media"

    @classmethod
    def from_environment(cls) -> Home:
        """Return the folder that OPSROOM_HOME names, relative to the current one, else .opsroom in the project."""
        return cls(Path(os.environ.get("OPSROOM_HOME") or PROJECT / ".opsroom").absolute())

    def prepare(self) -> None:
        """Create missing folders, without changing permissions of existing ones. Raises EmbeddedError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_uid != os.geteuid():
                raise EmbeddedError(
                    f"The folder {self.path} belongs to another user:"
                    " run Opsroom as that user, or choose another folder with OPSROOM_HOME=."
                )
            for folder in (self.postgres, self.valkey, self.run, self.logs, self.media):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(
                f"Opsroom cannot keep its data in {self.path} ({error.strerror}):"
                " choose another folder with OPSROOM_HOME=."
            ) from error

    @property
    def lock(self) -> Path:
        """The file that the launcher locks, with the URL of its web process."""
        return self.run / "launcher.lock"

    def port(self) -> int | None:
        """Return the port of the web process that was last started in this folder, or None."""
        with contextlib.suppress(OSError, ValueError):
            return urlsplit(self.lock.read_text()).port
        return None

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Hold the gate: only one process at a time starts or stops servers. A killed process releases it."""
        with (self.run / "gate.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def wait_for_turn(self, say: Callable[[str], None]) -> None:
        """Wait until no other test run uses this folder. The lock lasts until this process ends, however it ends.

        The databases of two runs have the same names, so each run would drop the other's. `say` is called with a
        sentence before a wait.
        """
        lock = os.open(self.run / "tests.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # the kernel closes it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode().strip() or "unknown"
            say(f"Another test run (process {holder}) uses {self.path}: waiting until it ends.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def secret_key(self) -> str:
        """Return the key that signs this instance's sessions; created once. The caller holds the gate."""
        path = self.path / "secret_key"
        if path.exists() and len(key := path.read_text().strip()) >= 50:
            return key
        key = secrets.token_urlsafe(64)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(key)
        fresh.replace(path)
        return key

    def log(self, name: str) -> Path:
        """Return the log file of a server, after renaming a long one to .1. Call it before the server starts."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path

    def sockets(self) -> Path:
        """Return the folder for sockets: `run`, or one in /tmp if that path is too long or has special characters.

        Always /tmp and not $TMPDIR, which may be long itself and differ between two users of the same servers.
        """
        if PLAIN_PATH.fullmatch(str(self.run)) and len(str(self.run)) <= MAX_SOCKET_DIR_LENGTH:
            return self.run
        mark = hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()[:16]
        return private_folder(Path(f"/tmp/opsroom-{os.geteuid()}-{mark}"))  # noqa: S108

    def remove_sockets(self) -> None:
        """Remove the folder in /tmp after the servers have stopped."""
        folder = self.sockets()
        if folder != self.run:
            with contextlib.suppress(OSError):
                folder.rmdir()


def private_folder(path: Path) -> Path:
    """Create or reuse a folder that only this user can enter. Raises EmbeddedError if another user created it."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise EmbeddedError(
            f"Opsroom cannot put its sockets into {path} ({error.strerror}):"
            " move the project to a shorter path, or choose a short OPSROOM_HOME=."
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
        raise EmbeddedError(f"{path} is not a folder of ours that only we can enter: remove it and start again.")
    return path


def is_unused(users: IO[str]) -> bool:
    """Return whether no process uses the servers, and then lock them for the caller, who holds the gate."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
