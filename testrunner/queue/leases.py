"""Leases: a worker's claim on its runs, renewed by the database's clock and given up early enough.

    0 s   the last successful renewal
    5 s   the next renewal
    15 s  no renewal has succeeded: the worker ends the run's processes and writes nothing more. If the worker itself
          is stopped, the run's supervisor, which every renewal reaches, ends them
          (testrunner/sandbox/supervisor_process.py)
    18 s  if the supervisor is stopped as well, the kernel kills it, and the run with it
    30 s  the lease expires
    35 s  the sweeper marks the run as lost, and the next one starts (testrunner/queue/sweeper.py)

Writes are fenced by the token, so a late worker cannot change anything in the database. No lease can fence what a test
does to the environment itself, which does not know the token. That is the reason for the twenty seconds from 15 to 35.
Time is counted from the moment before a renewal is sent, by a clock that continues while the process, or the machine,
is suspended.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from django.db import connection
from django.db.models import Q

from testrunner.clock import ClockNow
from testrunner.models import TestRun
from testrunner.queue.claims import LEASE
from testrunner.sandbox.boottime import boottime

log = structlog.get_logger(__name__)

RENEW_INTERVAL = 5.0  # seconds between two renewals
GIVE_UP_AFTER = 15.0  # seconds without a successful renewal, after which a run is given up
MAX_OVERTIME = 300.0  # seconds allowed for preparing, stopping, cleaning up and recording a run
CHECK_INTERVAL = 1.0  # seconds between two checks for cancellation requests


class LeaseLost(Exception):
    """The run no longer belongs to this worker, which must not write anything about it."""


@dataclass
class Lease:
    """This worker's lease on one run."""

    run_id: int
    token: int
    renewed_at: float  # boottime just before the last successful renewal was sent
    taken_over: bool = False  # the database says that another worker owns the run, or that it has ended
    cancel_reason: str = ""  # the reason of a cancellation request
    extend: Callable[[float], None] | None = None  # lets the run's processes continue for this many seconds
    overdue_at: float = math.inf  # boottime after which the lease is not renewed

    @property
    def condition(self) -> Q:
        """The condition of every write: the run is still running under our token."""
        return Q(pk=self.run_id, lease_token=self.token, status=TestRun.Status.RUNNING)

    @property
    def is_lost(self) -> bool:
        return self.taken_over or self.seconds_left <= 0

    @property
    def is_overdue(self) -> bool:
        """Whether the run is far beyond its time limit, so that the lease is not renewed any more."""
        return boottime() > self.overdue_at

    @property
    def seconds_left(self) -> float:
        return self.renewed_at + GIVE_UP_AFTER - boottime()

    def renew(self) -> None:
        """Extend the lease by the database's clock, or find out that it was lost."""
        sent_at = boottime()
        if TestRun.objects.filter(self.condition).update(lease_until=ClockNow() + LEASE):
            self.renewed_at = sent_at
            if self.extend is not None:
                self.extend(self.seconds_left)
        else:
            self.taken_over = True

    def bind_to_run(self, extend: Callable[[float], None]) -> None:
        """From now on, let the run's processes continue only as long as this lease is renewed."""
        self.extend = extend
        extend(self.seconds_left)


class LeaseRenewer:
    """Thread of a worker process that renews all of its leases, on its own database connection."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def renewing(self, lease: Lease) -> Iterator[None]:
        """Renew the lease until the end of the block."""
        with self._changing:
            self._leases[lease.run_id] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_periodically, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changing:
                del self._leases[lease.run_id]

    def is_stuck(self) -> bool:
        """Whether this process has runs, all of them lost because they did not end in time."""
        with self._changing:
            leases = list(self._leases.values())
        return bool(leases) and all(lease.is_overdue and lease.is_lost for lease in leases)

    def _renew_periodically(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            with self._changing:
                leases = list(self._leases.values())
            try:
                self._renew_leases(leases)
            except Exception as error:  # any error: all runs of this process depend on this thread
                log.warning("leases_not_renewed", error=f"{type(error).__name__}: {error}".strip())
                connection.close()
            if not leases:
                connection.close()

    def _renew_leases(self, leases: list[Lease]) -> None:
        for lease in leases:
            if not lease.is_lost and not lease.is_overdue and boottime() - lease.renewed_at >= RENEW_INTERVAL:
                lease.renew()
        if leases:
            self._find_cancel_requests({lease.run_id: lease for lease in leases})

    def _find_cancel_requests(self, leases: dict[int, Lease]) -> None:
        asked = TestRun.objects.filter(pk__in=leases, cancel_requested_at__isnull=False)
        for run in asked.only("cancel_requested_by__username").select_related("cancel_requested_by"):
            leases[run.pk].cancel_reason = f"Cancelled by {run.cancel_requested_by or 'an administrator'} while it ran."


renewer = LeaseRenewer()
