"""$OPSROOM_HOME: where the embedded services keep their data, sockets, logs and the secret key of this copy."""

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
# A socket's address holds 104 bytes on macOS and 108 on Linux, the name of PostgreSQL's socket and a NUL included.
MAX_SOCKET_DIR_LENGTH = 104 - len("/.s.PGSQL.5432") - 1
# In these a path needs no quoting in any of the URLs and configuration files that name it.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
LOG_LIMIT = 10 * 1024 * 1024  # bytes; a longer log is set aside at the next start


class EmbeddedError(Exception):
    """Says in one sentence why an embedded service cannot be had, and how to mend it."""


class Home:
    """The folder of one copy of Opsroom. Every folder in it is 0700 and belongs to who runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.valkey = path / "valkey"
        self.run = path / "run"
        self.logs = path / "log"
        self.media = path / "media"

    @classmethod
    def from_environment(cls) -> Home:
        """The folder that OPSROOM_HOME names, relative to the current one, else .opsroom in the project."""
        return cls(Path(os.environ.get("OPSROOM_HOME") or PROJECT / ".opsroom").absolute())

    def prepare(self) -> None:
        """Create what is missing. Changes no permission of a folder that is there. Raises EmbeddedError."""
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
        """The file that the launcher holds, with the address of its web process."""
        return self.run / "launcher.lock"

    def port(self) -> int | None:
        """The port of the web process that was started last from this folder."""
        with contextlib.suppress(OSError, ValueError):
            return urlsplit(self.lock.read_text()).port
        return None

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Only one process at a time starts or stops anything here. The kernel opens the gate if it is killed."""
        with (self.run / "gate.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def wait_for_turn(self, say: Callable[[str], None]) -> None:
        """Wait until no other test run uses this folder. The turn lasts until this process ends, however it ends.

        The databases of two runs have the same names, so each would drop the other's. `say` is called with a sentence
        before a wait.
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
        """The key that signs this copy's sessions, made once. The caller holds the gate."""
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
        """The log file of that server, a long one set aside as .1. Call it before the server starts."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path

    def sockets(self) -> Path:
        """The folder for the sockets: `run`, or below /tmp if that is too long or too odd for a socket's address.

        Always /tmp and not $TMPDIR, which may be long itself and differ between two users of the same servers.
        """
        if PLAIN_PATH.fullmatch(str(self.run)) and len(str(self.run)) <= MAX_SOCKET_DIR_LENGTH:
            return self.run
        mark = hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()[:16]
        return private_folder(Path(f"/tmp/opsroom-{os.geteuid()}-{mark}"))  # noqa: S108

    def remove_sockets(self) -> None:
        """Leave nothing below /tmp when the servers are gone."""
        folder = self.sockets()
        if folder != self.run:
            with contextlib.suppress(OSError):
                folder.rmdir()


def private_folder(path: Path) -> Path:
    """Make a folder that only we can enter, or find it again. Raises EmbeddedError if somebody else made it."""
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
    """Whether no process counts among the users. The caller holds the gate, and this lock afterwards."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
