"""A worker's hold on its runs: renewed by the database's clock, given up in time, and never believed in too long.

    0 s   the last renewal that succeeded
    5 s   the next one
    15 s  none has succeeded: the worker ends the run's processes and writes nothing more. If the worker itself is
          stopped, its dead man's switch ends them (testrunner/sandbox/dead_man_switch.py)
    30 s  the lease is over
    35 s  the reaper calls the run lost, and the next one starts (testrunner/queue/sweeper.py)

Writes are fenced by the token, so a late worker can change nothing here. No lease can fence what a test does to the
environment itself, which knows of no token; that is what the twenty seconds from 15 to 35 are for. Time is counted from
before a renewal was sent, by a clock that goes on while the process, or the machine, is stopped.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.db import connection
from django.db.models import Q

from testrunner.clock import ClockNow
from testrunner.models import TestRun
from testrunner.queue.claims import LEASE
from testrunner.sandbox import dead_man_switch

log = structlog.get_logger(__name__)

BEAT = 5.0  # seconds between two renewals
SILENCE = 15.0  # seconds without one that succeeded, after which a run is given up
OVERTIME = 300.0  # seconds in which a run is prepared, stopped, tidied up after, and written down
TICK = 1.0  # seconds between two looks for somebody's wish to cancel


class LeaseLost(Exception):
    """The run is not this worker's any more: nothing of it may be written."""


@dataclass
class Lease:
    """One run that is this worker's for now."""

    run_id: int
    token: int
    heard: float  # boottime of the last renewal that succeeded, from before it was sent
    taken: bool = False  # the database says that it is not ours any more
    wish: str = ""  # why somebody wants it cancelled
    guard: int = 0  # the process id of the run's guard
    ends: float = math.inf  # boottime after which it is not renewed

    @property
    def mine(self) -> Q:
        """What every write asks for: the run is still running under our token."""
        return Q(pk=self.run_id, lease_token=self.token, status=TestRun.Status.RUNNING)

    @property
    def is_lost(self) -> bool:
        return self.taken or self.seconds_left <= 0

    @property
    def is_over(self) -> bool:
        """Whether its run should have ended long ago."""
        return dead_man_switch.boottime() > self.ends

    @property
    def seconds_left(self) -> float:
        return self.heard + SILENCE - dead_man_switch.boottime()

    def renew(self) -> None:
        """Prolong it by the database's clock, or find out that it is another's."""
        asked = dead_man_switch.boottime()
        if TestRun.objects.filter(self.mine).update(lease_until=ClockNow() + LEASE):
            self.heard = asked
        else:
            self.taken = True


class Keeper:
    """The thread of a worker process that renews all of its leases, on a connection of its own."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._switch: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Renew the lease as long as the block lasts."""
        with self._changing:
            self._leases[lease.run_id] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changing:
                del self._leases[lease.run_id]
            if lease.guard:
                self._tell_switch(f"drop {lease.guard}")

    def watch(self, lease: Lease, guard: int) -> None:
        """From now on, end the run with this guard when its lease is not renewed in time, come what may."""
        lease.guard = guard
        self._tell_switch(f"keep {guard} {lease.seconds_left:.3f}")

    def is_stuck(self) -> bool:
        """Whether this process has runs, and each of them was lost because it did not end."""
        with self._changing:
            leases = list(self._leases.values())
        return bool(leases) and all(lease.is_over and lease.is_lost for lease in leases)

    def _renew_for_ever(self) -> None:
        while True:
            time.sleep(TICK)
            with self._changing:
                leases = list(self._leases.values())
            try:
                self._look_after(leases)
            except Exception as error:  # whatever it is: all runs of this process depend on this thread
                log.warning("leases_not_renewed", error=f"{type(error).__name__}: {error}".strip())
                connection.close()
            if not leases:
                connection.close()

    def _look_after(self, leases: list[Lease]) -> None:
        for lease in leases:
            if not lease.is_lost and not lease.is_over and dead_man_switch.boottime() - lease.heard >= BEAT:
                lease.renew()
                if lease.guard and not lease.taken:
                    self._tell_switch(f"keep {lease.guard} {lease.seconds_left:.3f}")
        if leases:
            self._look_for_wishes({lease.run_id: lease for lease in leases})

    def _look_for_wishes(self, leases: dict[int, Lease]) -> None:
        asked = TestRun.objects.filter(pk__in=leases, cancel_requested_at__isnull=False)
        for run in asked.only("cancel_requested_by__username").select_related("cancel_requested_by"):
            leases[run.pk].wish = f"Cancelled by {run.cancel_requested_by or 'somebody'} while it ran."

    def _tell_switch(self, words: str) -> None:
        """Speak to the dead man's switch; start it if it is not there. What it must know, it is told again in 5 s."""
        # What can fail is a pipe that is closed, or that there is no process or no memory for a new one.
        with self._changing, contextlib.suppress(OSError):
            if self._switch is None or self._switch.poll() is not None:
                self._switch = _start_switch()
            assert self._switch.stdin is not None  # noqa: S101  it was asked for
            self._switch.stdin.write(words.encode() + b"\n")
            self._switch.stdin.flush()


def _start_switch() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(Path(dead_man_switch.__file__).resolve())],
        stdin=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is not for it
        env={},
    )


keeper = Keeper()
