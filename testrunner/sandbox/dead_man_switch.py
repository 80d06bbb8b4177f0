"""The dead man's switch of a worker process: `python -I -S dead_man_switch.py`, outside of Django, so that it is small.

A worker that is stopped, or hangs in a library, cannot keep its promise to end its runs when it has lost their leases.
Somebody must who does not depend on it. The worker says on standard input, with every renewal, how long each of its
runs may go on without another word; whoever is not spoken for in time is ended. End of file: the worker is dead, and
all of its runs end now.

    keep <pid> <seconds>    the run whose guard has this process id may go on for so long
    drop <pid>              it is over

SIGTERM tells the guard of a run (testrunner/sandbox/supervisor_process.py) to kill everything in it; SIGKILL, if it
does not go, takes the guard with its process namespace, where there is one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

PATIENCE = 3.0  # seconds between SIGTERM and SIGKILL


def boottime() -> float:
    """Seconds that go on while a process, or the whole machine, is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def birth(pid: int) -> bytes:
    """When the process with this id began; another one with the same id began later. Empty: there is none."""
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19]
    return b""


class Switch:
    """Whose time is up when."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[float, bytes]] = {}
        self.ended: dict[int, tuple[float, bytes]] = {}  # told to go; not seen to have gone

    def hear(self, line: bytes) -> None:
        word, pid, *seconds = line.split()
        if word == b"keep":
            self.kept[int(pid)] = boottime() + float(seconds[0]), birth(int(pid))
        else:
            self.kept.pop(int(pid), None)
            self.ended.pop(int(pid), None)

    def look(self, *, everybody: bool = False) -> float | None:
        """End whose time is up; return the seconds to the next look, None if nobody is watched."""
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
        signal.signal(number, signal.SIG_IGN)  # it ends when the worker does, not before
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
