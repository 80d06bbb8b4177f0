"""Sweeper for events that are not announced: workers that died, wake-ups that were lost, reservations that expired.

Called every few seconds (testrunner/tasks.py). Concurrent calls are harmless: each step repeats its condition in the
statement that acts, under the environment's lock. A worker renews its leases to 30 s ahead, and gives up its runs after
15 s without success. So a run that is marked as lost at 35 s has had twenty seconds to end
(testrunner/queue/leases.py).

The database's clock may be set back. A lease then ends later than any lease that begins now. If its worker is dead, it
would block the environment for that long, so it is shortened. A living worker renews it in any case.

An error with one row stops neither its own step nor the others. It is logged, and the row is tried again at the next
sweep.
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

LOST_DELAY = timedelta(seconds=5)  # from the end of a lease until the run is marked as lost
MAX_WAKE_UPS = 8  # in one sweep; each worker that finds more to do wakes another one


def sweep() -> None:
    """Mark lost runs, end expired reservations, and wake workers for the runs that could start."""
    for step in (shorten_leases, mark_lost_runs, end_reservations, wake_workers):
        run_step(step)


def run_step(step: Callable[..., Any], *given: Any) -> Any:
    """Return the result of this step of a sweep; log an error, so that the next step follows."""
    try:
        return step(*given)
    except Exception:
        log.exception("sweep_step_failed", step=step.__name__, given=[str(one) for one in given])
        return None


def shorten_leases() -> None:
    """Shorten leases that end later than one that begins now."""
    longest = ClockNow() + claims.LEASE
    too_long = TestRun.objects.running().filter(lease_until__gt=longest)
    for run_id in too_long.values_list("pk", flat=True):
        too_long.filter(pk=run_id).update(lease_until=longest)


def mark_lost_runs() -> int:
    """Mark the runs as lost whose worker has been silent for too long; return how many there were."""
    overdue = Q(lease_until__lt=ClockNow() - LOST_DELAY)
    return sum(bool(run_step(_end_lost, run, overdue)) for run in TestRun.objects.running().filter(overdue))


def _end_lost(run: TestRun, overdue: Q) -> bool:
    silent = claims.LEASE + LOST_DELAY
    reason = f"Its worker {run.worker} was not heard of for {silent.total_seconds():.0f} s."
    mine = overdue & Q(status=TestRun.Status.RUNNING, lease_token=run.lease_token)
    return claims.end(run, mine, TestRun.Status.LOST, reason=reason[:500])


def end_reservations() -> None:
    """Clear expired reservations. They have had no effect since they expired."""
    for over in TestEnvironment.objects.filter(reserved_until__lte=ClockNow()).values_list("pk", flat=True):
        run_step(_end_reservation, over)


def _end_reservation(environment_id: int) -> None:
    with claims.locked(environment_id) as environment:
        if environment.reserved_until is not None and environment.reserved_until <= claims.database_now():
            claims.clear_reservation(environment)
            environment.save(update_fields=claims.RESERVATION)
            realtime.environment_updated(environment)


def wake_workers() -> None:
    for _, environment_id in claims.startable()[:MAX_WAKE_UPS]:
        claims.wake_worker(environment_id)
