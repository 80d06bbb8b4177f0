"""Periodic comparison of what a run holds with its limits."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable
from typing import Any

from testrunner.sandbox.linux.processes import become
from testrunner.sandbox.linux.resource_usage import ResourceUsage, SystemVObject, UsageUnknown, system_v, usage_of

TIMEOUT = 2.0  # seconds for a measurement by another process
MAX_MISSES = 3  # failed measurements in a row after which the run is ended: it may be preventing them


class UsageMonitor:
    """Compares what a run holds with its limits. `belongs` selects the System V entries that belong to the run."""

    def __init__(self, plan: dict[str, Any], *, belongs: Callable[[SystemVObject], bool]) -> None:
        self.limits, self.belongs, self.misses = plan["limits"], belongs, 0
        self.disk_is_bounded = plan["namespaces"]
        self.user = plan["user"] if plan["change_user"] else None

    def exceeded_limit(self, processes: Iterable[int]) -> str:
        """Return the exceeded limit, "memory" or "disk"; "unknown" after too many failed measurements; otherwise ""."""
        usage = self._usage(list(processes))
        self.misses = self.misses + 1 if usage is None else 0
        if usage is None:
            return "unknown" if self.misses >= MAX_MISSES else ""
        if usage.memory > self.limits["total_memory_bytes"]:
            return "memory"
        too_much = usage.deleted_files > self.limits["disk_bytes"]
        return "disk" if too_much and not self.disk_is_bounded else ""

    def _usage(self, processes: list[int]) -> ResourceUsage | None:
        entries = [entry for entry in system_v() if self.belongs(entry)]
        try:
            return usage_of(processes, entries, self.limits["file_bytes"])
        except UsageUnknown:
            if self.user is None:
                return None
        # Root without CAP_SYS_PTRACE, as in a container, may not read the processes' files. The run's own user may.
        return measure_as(self.user, lambda: usage_of(processes, entries, self.limits["file_bytes"]))


def measure_as(user: int, measure: Callable[[], ResourceUsage]) -> ResourceUsage | None:
    """Return what `measure` finds in a child process of this user; None if it fails or takes too long."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.set_wakeup_fd(-1)
            become(user)
            usage = measure()
            os.write(theirs, f"{usage.memory} {usage.deleted_files}\n".encode())
        os._exit(0)
    os.close(theirs)
    try:
        ready, _, _ = select.select([ours], [], [], TIMEOUT)
        words = os.read(ours, 100).split() if ready else []
        return ResourceUsage(int(words[0]), int(words[1])) if len(words) == 2 else None
    finally:
        os.close(ours)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
