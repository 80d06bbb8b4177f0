"""Periodic comparison of what a run holds with its limits."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable
from typing import Any

from testrunner.sandbox.walls.held import Held, SystemVObject, Unknown, held_by, system_v

PATIENCE = 2.0  # seconds for a measurement by another process
MAX_MISSES = 3  # failed measurements in a row after which the run is ended: it may be preventing them


class Meter:
    """Compares what a run holds with its limits. `counts` selects the System V entries that belong to the run."""

    def __init__(self, plan: dict[str, Any], *, counts: Callable[[SystemVObject], bool]) -> None:
        self.limits, self.counts, self.misses = plan["limits"], counts, 0
        self.disk_is_bounded = plan["namespaces"]
        self.user = plan["user"] if plan["change_user"] else None

    def look(self, processes: Iterable[int]) -> str:
        """Return the exceeded limit, "memory" or "disk"; "unknown" after too many failed measurements; otherwise ""."""
        held = self._held(list(processes))
        self.misses = self.misses + 1 if held is None else 0
        if held is None:
            return "unknown" if self.misses >= MAX_MISSES else ""
        if held.memory > self.limits["total_memory_bytes"]:
            return "memory"
        too_much = held.nameless > self.limits["disk_bytes"]
        return "disk" if too_much and not self.disk_is_bounded else ""

    def _held(self, processes: list[int]) -> Held | None:
        entries = [entry for entry in system_v() if self.counts(entry)]
        try:
            return held_by(processes, entries, self.limits["file_bytes"])
        except Unknown:
            if self.user is None:
                return None
        # Root without CAP_SYS_PTRACE, as in a container, may not read the processes' files. The run's own user may.
        return looked_at_as(self.user, lambda: held_by(processes, entries, self.limits["file_bytes"]))


def looked_at_as(user: int, look: Callable[[], Held]) -> Held | None:
    """Return what `look` finds in a child process of this user; None if it fails or takes too long."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.set_wakeup_fd(-1)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            held = look()
            os.write(theirs, f"{held.memory} {held.nameless}\n".encode())
        os._exit(0)
    os.close(theirs)
    try:
        ready, _, _ = select.select([ours], [], [], PATIENCE)
        words = os.read(ours, 100).split() if ready else []
        return Held(int(words[0]), int(words[1])) if len(words) == 2 else None
    finally:
        os.close(ours)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
