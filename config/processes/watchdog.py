"""Run one long-running process, and end it if it makes no progress: `python -m config.processes.watchdog NAME
ARGUMENTS`.

ARGUMENTS are Python's, as in `python -m config.processes.watchdog worker -m celery …`. NAME is used in messages. The
process proves its progress through config/processes/watchdog_client.py: it writes a byte into a pipe at each round of
its main loop. A health page can only report that a process is stopped or deadlocked, but supervisors and containers
react to exit codes. So the watchdog turns one into the other:

1. Without a byte for PROGRESS_TIMEOUT seconds the whole process group, this process included, gets SIGKILL: whatever
   started it sees a killed process and starts it again. If the process itself reports that it does no work (a worker
   whose pool is stuck), it is killed at once. A process stopped by a signal (SIGSTOP) is visible as such on Linux, and
   is killed after STOPPED_TIMEOUT seconds.
2. A starting process has START_TIMEOUT seconds for its first byte. It may be slow on a busy machine, but on Linux a
   process that uses no processor time for PROGRESS_TIMEOUT seconds is stopped, not slow.
3. Seconds in which the watchdog itself did not run are not counted: the machine was suspended or starved.
4. Signals that end a process are passed on. After one the process may be silent for SHUTDOWN_TIMEOUT seconds, which is
   longer than any supervisor waits; without a supervisor (it was killed) for ORPHAN_TIMEOUT seconds.
5. The exit status is the process's own; 128 + n if signal n ended it; never 0 without a signal to end.

If this process is killed, the kernel kills the other one (Linux), or its next byte fails and it ends itself.

Only the standard library is imported, because this process exists once for each of the others.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROGRESS_TIMEOUT = 20.0  # seconds; config/processes/watchdog_client.py beats every two
STOPPED_TIMEOUT = 8.0  # seconds; who stops a process on purpose stops its watchdog too (Ctrl-Z, a frozen container)
START_TIMEOUT = 120.0  # seconds
CHECK_INTERVAL = 1.0  # seconds between two checks
MAX_COUNTED_SECONDS = 2.0  # seconds counted at most between two checks
SHUTDOWN_TIMEOUT = 150.0  # seconds; docker-compose.yml gives the runner 75
ORPHAN_TIMEOUT = 15.0  # seconds
STACK_PRINT_SECONDS = 1.0  # seconds for printing the stack traces of a process before it is killed
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
STACKS_SIGNAL = signal.SIGUSR2  # makes the process print the stack of each thread (config/processes/watchdog_client.py)
STUCK_BYTE = b"!"  # written to the pipe by a process that detects that it does no work
PIPE_VARIABLE = "OPSROOM_WATCHDOG_PIPE"  # environment variable with the descriptor of the pipe


def main(arguments: list[str]) -> int:
    """Run the command to its end and return the exit status. Does not return if the command is killed."""
    name, *command = arguments
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # the group that may be killed must contain only our processes
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = subprocess.Popen(  # noqa: S603  our own arguments
        [sys.executable, *command],
        pass_fds=[writing],
        env=os.environ | {PIPE_VARIABLE: str(writing)},
        preexec_fn=_die_with(os.getpid()),  # safe: this process has no other thread
    )
    os.close(writing)
    return ProcessWatchdog(name, child, reading, waking).until_the_end()


class ProcessWatchdog:
    """Monitors one process."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], progress: int, waking: int) -> None:
        self.name, self.child = name, child
        self.progress, self.waking = progress, waking
        self.asked_to_end = False
        self.ending = 0.0  # seconds since the signal to end
        self.supervisor = os.getppid()
        self.has_started = False
        self.silent = 0.0  # seconds without a byte or, before the first byte, without use of processor time
        self.stopped = 0.0  # seconds in which the kernel said that a signal has stopped it
        self.starting = 0.0  # seconds
        self.used = cpu_used(child.pid)
        for number in PASSED_ON:
            signal.signal(number, self.pass_on)

    def pass_on(self, number: int, _: Any) -> None:
        self.asked_to_end = True
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)

    def until_the_end(self) -> int:
        """Return the exit status of the process, which is killed if it makes no progress."""
        looked = time.monotonic()
        while (status := self.child.poll()) is None:
            select.select([self.progress, self.waking], [], [], CHECK_INTERVAL)
            drained(self.waking)
            now = time.monotonic()
            self.look(min(now - looked, MAX_COUNTED_SECONDS))
            looked = now
            if heard := drained(self.progress):
                self.has_started, self.silent = True, 0.0
                if STUCK_BYTE in heard and not self.asked_to_end:
                    self.kill("does nothing any more")
            time.sleep(0.1)  # limits the rate of rounds, so that this process costs nothing
        if status < 0:
            return 128 - status
        return status if status or self.asked_to_end else 1

    def look(self, seconds: float) -> None:
        """Count the seconds without a byte, and kill a process that is silent for too long."""
        if self.asked_to_end:
            self.ending += seconds
            if self.ending > (SHUTDOWN_TIMEOUT if os.getppid() == self.supervisor else ORPHAN_TIMEOUT):
                self.kill(f"did not end within {self.ending:.0f} s")
            return
        self.silent += seconds
        self.stopped = self.stopped + seconds if is_stopped(self.child.pid) else 0.0
        if self.stopped > STOPPED_TIMEOUT:
            self.kill(f"was stopped for {self.stopped:.0f} s")
        if not self.has_started:
            self.starting += seconds
            used = cpu_used(self.child.pid)
            if used is None or used != self.used:
                self.used, self.silent = used, 0.0
        if self.silent > PROGRESS_TIMEOUT and not drained(self.progress):
            self.kill(f"made no progress for {self.silent:.0f} s")
        if not self.has_started and self.starting > START_TIMEOUT:
            self.kill(f"was not ready after {self.starting:.0f} s")

    def kill(self, why: str) -> None:
        say(self.name, f"The {self.name} process {self.child.pid} {why} and is killed.")
        if self.has_started and not self.stopped:  # a stopped process prints nothing
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(STACKS_SIGNAL)
            time.sleep(STACK_PRINT_SECONDS)
        os.killpg(0, signal.SIGKILL)


def drained(pipe: int) -> bytes:
    """Read and return everything in the pipe."""
    heard = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(pipe, 4096):
            heard += part
    return heard


def cpu_used(pid: int) -> str | None:
    """Return the processor time that a process has used, as Linux writes it; None if unknown."""
    try:
        return Path(f"/proc/{pid}/schedstat").read_text().split()[0]
    except (OSError, IndexError):
        return None


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped the process: state T of proc(5). False where that is unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def say(name: str, sentence: str) -> None:
    """Write one line to standard error, for a person or a log collector, unless the reader is blocked."""
    line = sentence
    if os.environ.get("OPSROOM_LOCAL") != "1":
        moment = datetime.now(UTC).isoformat()
        line = json.dumps({"event": sentence, "process": name, "level": "error", "timestamp": moment})
    if select.select([], [2], [], 0)[1]:
        with contextlib.suppress(OSError):
            os.write(2, line.encode() + b"\n")


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return a function for the new process: the kernel kills it when its parent ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    library, set_parent_death_signal = ctypes.CDLL(None), 1

    def run() -> None:
        library.prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
