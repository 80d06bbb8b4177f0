"""Loop from pytest's start to its end, and the steps that stop a run."""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Mapping

from testrunner.sandbox.disk_usage import DiskUsage
from testrunner.sandbox.isolation import RunLimits, size
from testrunner.sandbox.log_capture import LogCapture
from testrunner.sandbox.pipes import read_piece
from testrunner.sandbox.results.outcome import Outcome, Stop
from testrunner.sandbox.supervisor_client import SupervisorClient

DISK_CHECK_INTERVAL = 1.0  # seconds between two measurements of the run's files, where no file system limits them
CLEANUP_TIMEOUT = 30.0  # after pytest's end, for the supervisor to remove processes and files
CHECK_INTERVAL = 0.25  # seconds between two checks of the clock, of should_stop and of log text waiting to be passed on


class RunLoop:
    """The loop from pytest's start to its end."""

    def __init__(
        self,
        supervisor: SupervisorClient,
        readers: Mapping[int, Callable[[bytes], None]],
        log: LogCapture,
        limits: RunLimits,
        should_stop: Callable[[], Stop | None],
        started: float,
        disk_usage: DiskUsage | None,
    ) -> None:
        self.supervisor, self.log, self.limits, self.started = supervisor, log, limits, started
        self.should_stop = should_stop
        self.selector = selectors.DefaultSelector()
        self.selector.register(supervisor.control, selectors.EVENT_READ, None)
        for descriptor, reader in readers.items():
            self.selector.register(descriptor, selectors.EVENT_READ, reader)
        self.disk_usage, self.next_measure = disk_usage, 0.0
        self.stopped: Stop | None = None
        self.ended = 0.0  # when pytest's end was noticed
        # (time, action) pairs still to be carried out if the run does not stop
        self.steps: list[tuple[float, Callable[[], None]]] = []

    def run(self) -> Stop | None:
        """Run until the supervisor exits. Return why the run was stopped; None if it ended by itself."""
        with self.selector:
            next_check = 0.0
            while self.read(max(0.0, next_check - time.monotonic())):
                if time.monotonic() >= next_check:
                    next_check = time.monotonic() + CHECK_INTERVAL
                    self.log.flush()
                    if not self.check():
                        return self.stopped
            return self.stopped

    def read(self, patience: float) -> bool:
        """Pass on new output to its readers; return False once the supervisor has closed its end."""
        for key, _ in self.selector.select(patience):
            if key.data is None:
                if not self.supervisor.listen():
                    return False
            elif not (piece := read_piece(key.fd)):
                self.selector.unregister(key.fd)
            else:
                key.data(piece)
        return True

    def check(self) -> bool:
        """Stop the run if necessary; return False if even the supervisor does not exit."""
        if self.stopped is None:
            asked = self.should_stop()
            if "exit" in self.supervisor.messages:  # pytest has ended, and only the cleanup is left
                self.ended = self.ended or time.monotonic()
                return time.monotonic() - self.ended < CLEANUP_TIMEOUT
            if asked:
                self.stop(asked)
            elif time.monotonic() - self.started > self.limits.wall_seconds:
                self.stop(Stop(Outcome.TIMED_OUT, f"Not finished after {self.limits.wall_seconds:g} s."))
            elif self.too_much_written():
                most = f"{size(self.limits.disk_bytes)} or {self.limits.files:,} files"
                self.stop(Stop(Outcome.ERROR, f"More than {most} were written, or too deep to measure."))
        while self.steps and time.monotonic() >= self.steps[0][0]:
            _, step = self.steps.pop(0)
            step()
        return not self.stopped or bool(self.steps)

    def too_much_written(self) -> bool:
        if self.disk_usage is None or time.monotonic() < self.next_measure:
            return False
        self.next_measure = time.monotonic() + DISK_CHECK_INTERVAL
        return self.disk_usage.exceeds(self.limits)

    def stop(self, stop: Stop) -> None:
        """Interrupt pytest, so that fixtures clean up and the log shows where it was; then schedule stronger steps."""
        self.stopped = stop
        now, grace = time.monotonic(), self.limits.grace_seconds
        self.supervisor.send_signal(signal.SIGINT)
        self.steps = [
            (now + grace / 2, lambda: self.supervisor.send_signal(signal.SIGTERM)),
            (now + grace, self.supervisor.kill),
            (now + grace + 2, lambda: None),  # the caller kills the supervisor itself
        ]
