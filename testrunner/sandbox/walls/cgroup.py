"""A memory cgroup of a run, where one can be made: the kernel counts everything in it, sockets and pipes included.

Version 1 and 2, below the worker's own group or beside it. A worker without root, or in a container, mostly may not
make one; the limits that held.py watches hold in any case.

The guard removes its group. One that is killed leaves it, empty, and the next guard removes it: the lock of a group's
directory, which the kernel ends with the guard, tells it from one that is new and has no process in it yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

ROOTS = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")
PREFIX = "opsroom-"


class ControlGroup:
    """One group that was made. `lock` is the descriptor that holds its directory's."""

    def __init__(self, place: str, lock: int, most: int) -> None:
        self.place, self.lock = place, lock
        self._write("memory.max", most) or self._write("memory.limit_in_bytes", most)
        self._write("memory.swap.max", 0) or self._write("memory.memsw.limit_in_bytes", most)

    def join(self) -> None:
        """Put this process, and so all that come from it, into the group. Raises OSError."""
        with open(f"{self.place}/cgroup.procs", "w") as file:
            file.write("0")

    def was_too_small(self) -> bool:
        """Whether the kernel has killed a process because the group held too much."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError), open(f"{self.place}/{name}") as file:
                words = dict(line.split() for line in file if len(line.split()) == 2)
                return int(words.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Remove it, once no process is left in it."""
        for _ in range(100):
            try:
                os.rmdir(self.place)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)  # a process is still being buried

    def _write(self, name: str, value: int) -> bool:
        try:
            with open(f"{self.place}/{name}", "w") as file:
                file.write(str(value))
            return True
        except OSError:
            return False


def make_group(name: str, most: int) -> ControlGroup | None:
    """Make a group that holds at most so many bytes; None where that is not possible."""
    if os.geteuid() != 0:
        return None
    for parent in _parents():
        remove_leftovers(parent)
        place = f"{parent}/{PREFIX}{name}"
        try:
            lock = _make(place)
        except OSError:
            continue
        if any(os.path.exists(f"{place}/{limit}") for limit in ("memory.max", "memory.limit_in_bytes")):
            return ControlGroup(place, lock, most)
        os.rmdir(place)
        os.close(lock)
    return None


def remove_leftovers(parent: str) -> None:
    """Remove the groups below this one that no guard holds and no process is in."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    _remove_unless_held(f"{parent}/{name}")


def _remove_unless_held(place: str) -> None:
    lock = _opened(place)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rmdir(place)  # an error while a process is in it
    finally:
        os.close(lock)


def _make(place: str) -> int:
    """Make a group, and return the descriptor that holds its lock. Raises OSError where it cannot be made."""
    while True:
        os.mkdir(place, 0o755)
        with contextlib.suppress(FileNotFoundError):  # another guard took it for a leftover before it was locked
            lock = _opened(place)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(place):
                return lock
            os.close(lock)


def _opened(place: str) -> int:
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _parents() -> Iterator[str]:
    """Yield where a group can be made: below the own one, and beside it, where the own one must not have children."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                yield f"{ROOTS[0]}{path}".rstrip("/")
            elif number == "0" and not controllers:
                own = f"{ROOTS[1]}{path}".rstrip("/")
                yield own
                if path != "/":
                    yield os.path.dirname(own)
