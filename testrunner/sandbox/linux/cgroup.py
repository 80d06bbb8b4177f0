"""Memory cgroup of a run, where one can be created. The kernel counts all memory in it, sockets and pipes included.

Supports versions 1 and 2, below the worker's own group or beside it. A worker without root, or in a container, usually
may not create one. The limits that resource_usage.py measures apply in any case.

The supervisor removes its group. A supervisor that is killed leaves an empty group, and the next supervisor removes it.
A lock on the group's directory, which the kernel releases with the supervisor, distinguishes a leftover from a new
group that has no process yet.
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
    """A created group. `lock` is the descriptor that holds the lock on its directory."""

    def __init__(self, place: str, lock: int, most: int) -> None:
        self.place, self.lock = place, lock
        self._write("memory.max", most) or self._write("memory.limit_in_bytes", most)
        self._write("memory.swap.max", 0) or self._write("memory.memsw.limit_in_bytes", most)

    def join(self) -> None:
        """Move this process, and so all its future children, into the group. Raises OSError."""
        with open(f"{self.place}/cgroup.procs", "w") as file:
            file.write("0")

    def hit_limit(self) -> bool:
        """Return whether the kernel has killed a process because the group reached its limit."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError), open(f"{self.place}/{name}") as file:
                words = dict(line.split() for line in file if len(line.split()) == 2)
                return int(words.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Remove the group, once it contains no process."""
        for _ in range(100):
            try:
                os.rmdir(self.place)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)  # a process is still exiting

    def _write(self, name: str, value: int) -> bool:
        try:
            with open(f"{self.place}/{name}", "w") as file:
                file.write(str(value))
            return True
        except OSError:
            return False


def create_group(name: str, most: int) -> ControlGroup | None:
    """Create a group limited to `most` bytes; return None where that is not possible."""
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
    """Remove the groups below `parent` that no supervisor has locked and that contain no process."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    _remove_unless_locked(f"{parent}/{name}")


def _remove_unless_locked(place: str) -> None:
    lock = _opened(place)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rmdir(place)  # fails while the group contains a process
    finally:
        os.close(lock)


def _make(place: str) -> int:
    """Create a group and return the descriptor that holds its lock. Raises OSError if it cannot be created."""
    while True:
        os.mkdir(place, 0o755)
        with contextlib.suppress(FileNotFoundError):  # another supervisor removed it as a leftover before it was locked
            lock = _opened(place)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(place):
                return lock
            os.close(lock)


def _opened(place: str) -> int:
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _parents() -> Iterator[str]:
    """Yield the directories where a group can be created.

    They are the worker's own group and, for version 2, its parent, because the own group may not be allowed children.
    """
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
