"""Loop from pytest's start to its end, and the steps that stop a run."""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Mapping

from testrunner.sandbox.disk_usage import Written
from testrunner.sandbox.isolation import RunLimits, size
from testrunner.sandbox.log_capture import Log
from testrunner.sandbox.pipes import read_piece
from testrunner.sandbox.results.outcome import Outcome, Stop
from testrunner.sandbox.supervisor_client import Guard

DISK_TICK = 1.0  # seconds between two measurements of what the run has written, where no file system limits it
TIDY_SECONDS = 30.0  # after pytest's end, for the guard to remove processes and files
TICK = 0.25  # seconds between two checks of the clock, of should_stop and of log text waiting to be passed on


class RunLoop:
    """The loop from pytest's start to its end."""

    def __init__(
        self,
        guard: Guard,
        readers: Mapping[int, Callable[[bytes], None]],
        log: Log,
        limits: RunLimits,
        should_stop: Callable[[], Stop | None],
        started: float,
        written: Written | None,
    ) -> None:
        self.guard, self.log, self.limits, self.should_stop, self.started = guard, log, limits, should_stop, started
        self.selector = selectors.DefaultSelector()
        self.selector.register(guard.control, selectors.EVENT_READ, None)
        for descriptor, reader in readers.items():
            self.selector.register(descriptor, selectors.EVENT_READ, reader)
        self.written, self.next_measure = written, 0.0
        self.stopped: Stop | None = None
        self.ended = 0.0  # when pytest's end was noticed
        # (time, action) pairs still to be carried out if the run does not stop
        self.steps: list[tuple[float, Callable[[], None]]] = []

    def run(self) -> Stop | None:
        """Run until the guard exits. Return why the run was stopped; None if it ended by itself."""
        with self.selector:
            next_look = 0.0
            while self.read(max(0.0, next_look - time.monotonic())):
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + TICK
                    self.log.flush()
                    if not self.look():
                        return self.stopped
            return self.stopped

    def read(self, patience: float) -> bool:
        """Pass on new output to its readers; return False once the guard has closed its end."""
        for key, _ in self.selector.select(patience):
            if key.data is None:
                if not self.guard.listen():
                    return False
            elif not (piece := read_piece(key.fd)):
                self.selector.unregister(key.fd)
            else:
                key.data(piece)
        return True

    def look(self) -> bool:
        """Stop the run if necessary; return False if even the guard does not exit."""
        if self.stopped is None:
            asked = self.should_stop()
            if "exit" in self.guard.messages:  # pytest has ended: only the cleanup is left, so a stop has no effect
                self.ended = self.ended or time.monotonic()
                return time.monotonic() - self.ended < TIDY_SECONDS
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
        if self.written is None or time.monotonic() < self.next_measure:
            return False
        self.next_measure = time.monotonic() + DISK_TICK
        return self.written.is_too_much(self.limits)

    def stop(self, stop: Stop) -> None:
        """Interrupt pytest, so that fixtures clean up and the log shows where it was; then schedule stronger steps."""
        self.stopped = stop
        now, grace = time.monotonic(), self.limits.grace_seconds
        self.guard.send_signal(signal.SIGINT)
        self.steps = [
            (now + grace / 2, lambda: self.guard.send_signal(signal.SIGTERM)),
            (now + grace, self.guard.kill),
            (now + grace + 2, lambda: None),  # the caller kills the guard itself
        ]
