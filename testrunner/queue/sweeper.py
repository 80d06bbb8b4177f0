"""What was never announced: workers that died, wake-ups that were lost, reservations that are over.

Called every few seconds (testrunner/tasks.py). Two at once do no harm: each step repeats its condition in the statement
that acts, under the environment's lock. A worker renews its leases to 30 s ahead and has given its runs up itself after
15 s without success, so a run that is reaped at 35 s has had twenty seconds to end (testrunner/queue/leases.py).

The database's clock may be set back. A lease then lies further ahead than any that begins now, and would keep the
environment of a dead worker for as long; it is shortened. A worker that lives renews it in any case.

One row's trouble stops neither its own step nor the others: it is logged, and tried again at the next sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Q

from testrunner import realtime
from testrunner.clock import ClockNow
from testrunner.models import TestEnvironment, TestRun
from testrunner.queue import claims

log = structlog.get_logger(__name__)

GRACE = timedelta(seconds=5)  # from the end of a lease to its reaping
MAX_WAKE_UPS = 8  # at once; each worker that finds more to do wakes another


def sweep() -> None:
    """Reap the lost, end reservations that are over, and wake workers for the runs that could start."""
    for step in (shorten_leases, reap, end_reservations, wake_workers):
        attempt(step)


def attempt(step: Callable[..., Any], *given: Any) -> Any:
    """Return what this step of a sweep returns; log its error, so that the next step follows."""
    try:
        return step(*given)
    except Exception:
        log.exception("sweep_step_failed", step=step.__name__, given=[str(one) for one in given])
        return None


def shorten_leases() -> None:
    """Let no lease end later than one that begins now."""
    longest = ClockNow() + claims.LEASE
    too_long = TestRun.objects.running().filter(lease_until__gt=longest)
    for run_id in too_long.values_list("pk", flat=True):
        too_long.filter(pk=run_id).update(lease_until=longest)


def reap() -> int:
    """Call the runs lost whose worker was not heard of for too long; return how many there were."""
    overdue = Q(lease_until__lt=ClockNow() - GRACE)
    return sum(bool(attempt(_end_lost, run, overdue)) for run in TestRun.objects.running().filter(overdue))


def _end_lost(run: TestRun, overdue: Q) -> bool:
    silent = claims.LEASE + GRACE
    reason = f"Its worker {run.worker} was not heard of for {silent.total_seconds():.0f} s."
    mine = overdue & Q(status=TestRun.Status.RUNNING, lease_token=run.lease_token)
    return claims.end(run, mine, TestRun.Status.LOST, reason=reason[:500])


def end_reservations() -> None:
    """Take down reservations that are over; they have had no effect since."""
    for over in TestEnvironment.objects.filter(reserved_until__lte=ClockNow()).values_list("pk", flat=True):
        attempt(_end_reservation, over)


def _end_reservation(environment_id: int) -> None:
    with claims.locked(environment_id) as environment:
        if environment.reserved_until is not None and environment.reserved_until <= claims.database_now():
            claims.clear_reservation(environment)
            environment.save(update_fields=claims.RESERVATION)
            realtime.environment_updated(environment)


def wake_workers() -> None:
    for _, environment_id in claims.startable()[:MAX_WAKE_UPS]:
        claims.call_worker(environment_id)
