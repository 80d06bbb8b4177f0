"""Limits of a run and isolation modes, the strongest first.

The mode in force is part of every run's record, as text. testrunner/sandbox/isolation_check.py finds it by trying.

1. *namespaces*: the run has its own processes, mounts and IPC. Everything is read-only except one size-limited tmpfs. A
   worker that is root also gives each run a user of its own, so that the limit of processes counts this run only.
2. *user-namespace*: the same without root, as the worker's own user.
3. *user*: where namespaces are forbidden (in most containers), a worker that is root still gives each run its own user.
4. *plain*: limits, process group and supervisor only. Runs can read what the worker's user can read: a shared user is
   not a boundary.

The network stays open in all modes, because tests call services.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testrunner.sandbox.linux.processes import freeze_and_kill

KIB, MIB, GIB = 2**10, 2**20, 2**30
USERS = range(61184, 65520)  # systemd reserves these for short-lived users, so they own no files
NOBODY = 65534
CLAIM_DIRECTORIES = (Path("/run/opsroom-users"), Path("/tmp/opsroom-users"))  # noqa: S108 - used only if root alone has access
RUN_VARIABLE = "OPSROOM_RUN"  # environment variable of every process of a run


@dataclass(frozen=True)
class RunLimits:
    """What a run may use. Times in seconds, sizes in bytes."""

    wall_seconds: float = 300
    grace_seconds: float = 5  # between the order to stop and the kill
    cpu_seconds: int = 300  # of each process
    memory_bytes: int = 2 * GIB  # address space of each process
    total_memory_bytes: int = 4 * GIB  # resident, of all processes together; measured every half second
    file_bytes: int = 256 * MIB  # each file
    disk_bytes: int = 512 * MIB  # all files together
    files: int = 50_000
    processes: int = 128  # processes and threads together
    open_files: int = 512  # of each process
    log_head: int = MIB
    log_tail: int = 3 * MIB
    results: int = 20_000  # tests; a run with more ends as an error
    report_bytes: int = 64 * MIB
    junit_bytes: int = 8 * MIB

    def description(self) -> str:
        return (
            f"{size(self.memory_bytes)} memory a process, {size(self.total_memory_bytes)} together,"
            f" {size(self.disk_bytes)} of files,"
            f" {self.processes} processes, network open"
        )


def size(count: int) -> str:
    return f"{count / GIB:.3g} GiB" if count >= GIB else f"{count / MIB:.3g} MiB"


@dataclass(frozen=True)
class Mode:
    """One isolation mode."""

    name: str  # as in TESTRUN_MIN_ISOLATION
    description: str
    namespaces: bool = False
    user_namespace: bool = False
    change_user: bool = False


MODES = (
    Mode("namespaces", "own processes, read-only files, own user", namespaces=True, change_user=True),
    Mode("user-namespace", "own processes, read-only files", namespaces=True, user_namespace=True),
    Mode("user", "own user, no namespaces", change_user=True),
    Mode("plain", "limits only, the worker's user"),
)
PLAIN = MODES[-1]


def mode_named(name: str) -> Mode:
    """Return the mode with this name. Raises StopIteration if it is unknown; the settings are checked at the start."""
    return next(mode for mode in MODES if mode.name == name)


@contextlib.contextmanager
def exclusive_user(mode: Mode) -> Iterator[int]:
    """Yield a user id that no other run on this machine has, until the end of the block or of the process.

    The claim is a file lock in a directory that only root can access, so no run can create or lock a claim. The kernel
    releases it with the process.
    """
    if not mode.change_user:
        yield os.geteuid() or NOBODY
        return
    user, claim = _claim_free_user(_claim_directory())
    try:
        yield user
    finally:
        os.close(claim)


def _claim_directory() -> Path:
    """Return the directory of this machine's claims. Raises OSError if no directory is safe to use."""
    for place in CLAIM_DIRECTORIES:
        with contextlib.suppress(OSError):
            place.mkdir(mode=0o700, exist_ok=True)
            about = place.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == 0 and not about.st_mode & 0o077:
                return place
    raise OSError(
        f"No directory for the users of runs: {' and '.join(map(str, CLAIM_DIRECTORIES))} are not root's alone."
    )


def _claim_free_user(claims: Path) -> tuple[int, int]:
    """Return a free user id and the descriptor that holds its lock."""
    alive = users_alive()
    for user in random.sample(USERS, len(USERS)):
        if user in alive:  # systemd uses it, or a run whose worker and supervisor were killed left a process
            continue
        claim = os.open(claims / str(user), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return user, claim
        except OSError:
            os.close(claim)
    raise OSError("All users for runs are taken.")


def users_alive() -> set[int]:
    """Return the ids of all users that have a process on this machine."""
    alive = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            alive.add(entry.stat().st_uid)
    return alive


def python() -> str:
    """Return the path of the interpreter, with links in its directories resolved: they may be hidden from the run."""
    return os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))


def kept_and_hidden(directory: Path, kept: Sequence[Path], hidden: Sequence[Path], mode: Mode) -> dict[str, list[str]]:
    """Return which paths must stay visible (the interpreter, `kept`) and which must not (home, `hidden`), links
    resolved.

    A hidden directory is replaced by an empty one that contains only the kept paths below it. If the run has another
    user, a directory above a kept path that only its owner may enter would block access, so it is hidden, too.
    """
    keep = {os.path.realpath(path) for path in (Path(sys.prefix), Path(sys.base_prefix), *kept)}
    home = os.path.expanduser("~")  # it stays "~" where the worker's user has no home
    hide = {os.path.realpath(path) for path in ([home] if home.startswith("/") else []) + [*map(str, hidden)]}
    if mode.change_user:
        hide |= {str(path) for kept_path in (*keep, str(directory)) for path in closed_directories(Path(kept_path))}
    return {"kept": sorted(keep), "hidden": sorted(hide - keep - {"/", str(directory)})}


def closed_directories(path: Path) -> Iterator[Path]:
    """Yield the outermost directory above this path that other users may not enter, if there is one."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            yield parent
            return


def make_undumpable() -> None:
    """Hide this process's environment and memory from other processes of the same user (`/proc/<pid>/environ`).

    A worker calls this at its start. It does not stop root, and it does not protect files that the user may read.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def kill_marked(run_name: str, timeout: float = 5) -> None:
    """Kill every process of this machine that carries the run's mark, and wait at most `timeout` until they exit.

    For the modes without namespaces, after a run whose supervisor may have been killed. Two kinds of processes are not
    found. A process started with an emptied environment carries no mark. After a -9 to both worker and supervisor,
    nothing calls this function. These processes end with the container.
    """
    until = time.monotonic() + timeout
    while any(_marked(run_name)) and time.monotonic() < until:
        freeze_and_kill(lambda: _marked(run_name), 0.01)


def _marked(run_name: str) -> Iterator[int]:
    mark = f"{RUN_VARIABLE}={run_name}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                yield int(entry.name)
