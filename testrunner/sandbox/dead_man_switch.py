"""Watchdog of a worker process: `python -I -S dead_man_switch.py`. It runs outside Django, so that it is small.

A worker that is stopped, or hangs in a library, cannot end its runs when it has lost their leases. So a process that
does not depend on it has to. With every renewal, the worker writes to standard input how long each of its runs may
continue. A run that is not renewed in time is ended. End of file means that the worker is dead, and all of its runs end
at once.

    keep <pid> <seconds>    the run whose guard has this process id may continue for this many seconds
    drop <pid>              the run is over

SIGTERM makes the guard of a run (testrunner/sandbox/supervisor_process.py) kill everything in the run. If the guard
does not exit, SIGKILL ends it, together with its process namespace where there is one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

PATIENCE = 3.0  # seconds between SIGTERM and SIGKILL


def boottime() -> float:
    """Return a clock in seconds that continues while a process, or the whole machine, is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def birth(pid: int) -> bytes:
    """Return the start time of the process with this id; empty if it does not exist.

    A later process with the same id has a later start time.
    """
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19]
    return b""


class Switch:
    """The deadlines of the watched runs, by the process id of their guards."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[float, bytes]] = {}
        self.ended: dict[int, tuple[float, bytes]] = {}  # sent SIGTERM, not yet seen to exit

    def hear(self, line: bytes) -> None:
        word, pid, *seconds = line.split()
        if word == b"keep":
            self.kept[int(pid)] = boottime() + float(seconds[0]), birth(int(pid))
        else:
            self.kept.pop(int(pid), None)
            self.ended.pop(int(pid), None)

    def look(self, *, everybody: bool = False) -> float | None:
        """End the runs whose deadline has passed, or all with `everybody`.

        Return the seconds until the next call, or None if no run is watched.
        """
        now = boottime()
        for pid, (until, born) in list(self.kept.items()):
            if everybody or until <= now:
                del self.kept[pid]
                self.ended[pid] = now + PATIENCE, born
                send(pid, born, signal.SIGTERM)
        for pid, (until, born) in list(self.ended.items()):
            if birth(pid) != born:
                del self.ended[pid]
            elif until <= now:
                send(pid, born, signal.SIGKILL)
                del self.ended[pid]
        times = [until for until, _ in (*self.kept.values(), *self.ended.values())]
        return max(0.05, min(1.0, min(times) - now)) if times else None


def send(pid: int, born: bytes, number: int) -> None:
    if born and birth(pid) == born:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the worker ends, not before
    switch, heard = Switch(), b""
    while True:
        if select.select([0], [], [], switch.look())[0]:
            piece = os.read(0, 4096)
            if not piece:
                break
            *lines, heard = (heard + piece).split(b"\n")
            for line in lines:
                switch.hear(line)
    switch.look(everybody=True)
    while (pause := switch.look()) is not None:
        time.sleep(pause)


if __name__ == "__main__":
    main()
