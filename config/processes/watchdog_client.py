"""Client of the watchdog: this process proves its progress to it, and knows when its next heartbeat is due.

The loop whose progress matters calls `report_progress`: the event loop of a web process, the consumer's loop of a
worker, the ticks of beat. It never waits. Without a watchdog (a test, a shell) only the heartbeat is due.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from config.processes.watchdog import PIPE_VARIABLE, STACKS_SIGNAL, STUCK_BYTE

PROGRESS_INTERVAL = 2.0  # seconds between two reports
CONNECT_TIMEOUT = 60.0  # seconds for one attempt to connect, in which a library may try several times
HEARTBEAT_INTERVAL = 5.0  # between two heartbeats
MAX_COUNTED_SECONDS = 2 * PROGRESS_INTERVAL  # seconds counted at most between two reads


class RunningTime:
    """Clock that counts only the seconds in which this process ran, for deciding whether something is stuck.

    Call `read` every PROGRESS_INTERVAL seconds. Seconds in which the process did not run are not counted: it was
    stopped, starved, or suspended with its machine, and so was what it monitors. Changes of the system clock have no
    effect.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._read_at, self._seconds = clock, clock(), 0.0

    def read(self) -> float:
        """Return the number of seconds counted so far."""
        now = self._clock()
        self._seconds += min(now - self._read_at, MAX_COUNTED_SECONDS)
        self._read_at = now
        return self._seconds


class WatchdogClient:
    """Connection of this process to its watchdog, if it runs under one."""

    def __init__(self) -> None:
        number = os.environ.pop(PIPE_VARIABLE, "")  # not inherited by the processes that this one starts
        self.pipe = int(number) if number else None
        self.last = 0.0
        self.signed = 0.0
        if self.pipe is not None:
            os.set_inheritable(self.pipe, False)
            faulthandler.register(STACKS_SIGNAL, all_threads=True)

    def report_progress(self) -> bool:
        """Report progress to the watchdog; return whether the next heartbeat is due."""
        now = time.monotonic()
        if self.pipe is not None and now - self.last >= PROGRESS_INTERVAL / 2:
            self.last = now
            self._write(self.pipe, b".")
        if now - self.signed < HEARTBEAT_INTERVAL:
            return False
        self.signed = now
        return True

    @contextlib.contextmanager
    def reporting_progress(self, at_most: float) -> Iterator[Callable[[], None]]:
        """Report progress from a thread while the caller waits for a server in a library's code.

        It stops `at_most` seconds after the last call of the yielded function, to be called at each attempt to
        connect.
        """
        over, until = threading.Event(), time.monotonic() + at_most

        def attempt() -> None:
            nonlocal until
            until = time.monotonic() + at_most

        def report() -> None:
            while not over.wait(PROGRESS_INTERVAL / 2) and time.monotonic() < until:
                self.report_progress()

        thread = threading.Thread(target=report, name="progress", daemon=True)
        thread.start()
        try:
            yield attempt
        finally:
            over.set()
            thread.join()

    def request_restart(self) -> None:
        """Report to the watchdog that this process does no work any more, although its loop runs."""
        if self.pipe is not None:
            self._write(self.pipe, STUCK_BYTE)

    def _write(self, pipe: int, what: bytes) -> None:
        try:
            os.write(pipe, what)
        except BlockingIOError:
            pass  # the watchdog is stopped and has unread bytes
        except OSError:  # the watchdog is dead, so it cannot end and replace this process
            self.pipe = None
            with contextlib.suppress(OSError):
                os.kill(os.getpid(), signal.SIGTERM)


watchdog = WatchdogClient()
