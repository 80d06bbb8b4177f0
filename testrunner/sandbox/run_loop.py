"""The loop from pytest's start to its end, and how a run is stopped."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Mapping

from testrunner.sandbox.disk_usage import Written
from testrunner.sandbox.isolation import RunLimits, size
from testrunner.sandbox.log_capture import Log
from testrunner.sandbox.pipes import read_piece
from testrunner.sandbox.results.outcome import Outcome
from testrunner.sandbox.supervisor_client import Guard

DISK_TICK = 1.0  # seconds between two looks at what the run has written, where nothing bounds it
TIDY_SECONDS = 30.0  # after pytest's end, for the guard to remove processes and files
TICK = 0.25  # seconds between two looks at the clock, the wish to stop, and what waits to be passed on


class RunLoop:
    """The loop from pytest's start to its end."""

    def __init__(
        self,
        guard: Guard,
        readers: Mapping[int, Callable[[bytes], None]],
        log: Log,
        limits: RunLimits,
        should_stop: Callable[[], str | None],
        started: float,
        written: Written | None,
    ) -> None:
        self.guard, self.log, self.limits, self.should_stop, self.started = guard, log, limits, should_stop, started
        self.selector = selectors.DefaultSelector()
        self.selector.register(guard.control, selectors.EVENT_READ, None)
        for descriptor, reader in readers.items():
            self.selector.register(descriptor, selectors.EVENT_READ, reader)
        self.written, self.next_measure = written, 0.0
        self.stopped: tuple[Outcome, str] | None = None
        self.ended = 0.0  # when pytest's end was noticed
        self.steps: list[tuple[float, Callable[[], None]]] = []  # what is still to do to those who do not stop

    def run(self) -> tuple[Outcome, str] | None:
        """Return once the guard is through: what the run was stopped for, or None if it ended by itself."""
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
        """Pass on what has come; return False once the guard says no more."""
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
        """Stop the run if it is time; return False if even its guard does not go."""
        if self.stopped is None:
            wish = self.should_stop()
            if "exit" in self.guard.messages:  # pytest has ended: it cannot be stopped any more, only tidied up after
                self.ended = self.ended or time.monotonic()
                return time.monotonic() - self.ended < TIDY_SECONDS
            if wish:
                self.stop(Outcome.CANCELLED, wish)
            elif time.monotonic() - self.started > self.limits.wall_seconds:
                self.stop(Outcome.TIMED_OUT, f"Not finished after {self.limits.wall_seconds:g} s.")
            elif self.too_much_written():
                most = f"{size(self.limits.disk_bytes)} or {self.limits.files:,} files"
                self.stop(Outcome.ERROR, f"More than {most} were written, or too deep to measure.")
        while self.steps and time.monotonic() >= self.steps[0][0]:
            _, step = self.steps.pop(0)
            step()
        return not self.stopped or bool(self.steps)

    def too_much_written(self) -> bool:
        if self.written is None or time.monotonic() < self.next_measure:
            return False
        self.next_measure = time.monotonic() + DISK_TICK
        return self.written.is_too_much(self.limits)

    def stop(self, outcome: Outcome, reason: str) -> None:
        """Interrupt pytest, so that fixtures tidy up and the log says where it was; then less and less kindly."""
        self.stopped = outcome, reason
        now, grace = time.monotonic(), self.limits.grace_seconds
        self.guard.order(b"I")
        self.steps = [
            (now + grace / 2, lambda: self.guard.order(b"T")),
            (now + grace, self.guard.kill),
            (now + grace + 2, lambda: None),  # the caller kills the guard itself
        ]
