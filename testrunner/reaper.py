"""What nobody announced: workers that died, wake-ups that were lost, reservations that are over.

Called every few seconds (testrunner/tasks.py). Two at once do no harm: each step asks again under the environment's
lock. A worker renews its leases to 30 s ahead and has given its runs up itself after 15 s without success, so whoever
is reaped at 35 s has had twenty seconds to die in (testrunner/leases.py).
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from testrunner import announce, queue
from testrunner.models import TestEnvironment, TestRun

GRACE = timedelta(seconds=5)  # from the end of a lease to its reaping
MOST_WAKE_UPS = 8  # at once; each worker that finds more to do wakes another


def sweep() -> None:
    """Reap the lost, end reservations that are over, and wake workers for whoever could start."""
    reap()
    end_reservations()
    for _, environment_id in queue.startable()[:MOST_WAKE_UPS]:
        queue.call_worker(environment_id)


def reap() -> int:
    """Call the runs lost whose worker was not heard of for too long; return how many there were."""
    overdue = Q(lease_until__lt=queue.database_now() - GRACE)
    lost = 0
    for run in TestRun.objects.running().filter(overdue):
        silent = queue.LEASE + GRACE
        reason = f"Its worker {run.worker} was not heard of for {silent.total_seconds():.0f} s."
        mine = overdue & Q(status=TestRun.Status.RUNNING, lease_token=run.lease_token)
        lost += queue.end(run, mine, TestRun.Status.LOST, reason=reason[:500])
    return lost


def end_reservations() -> None:
    """Take down reservations that are over; they have had no effect since."""
    for over in TestEnvironment.objects.filter(reserved_until__lte=timezone.now()).values_list("pk", flat=True):
        with queue.locked(over) as environment:
            if environment.reserved_until is not None and not environment.is_reserved():
                queue.clear_reservation(environment)
                environment.save(update_fields=queue.RESERVATION)
                announce.environment_updated(environment)
