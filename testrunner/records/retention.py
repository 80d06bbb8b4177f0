"""Retention: logs, reports, tracebacks and file copies are removed after TESTRUN_LOG_DAYS, runs after TESTRUN_DAYS.

This applies to runs with any outcome: a run that was cancelled in the queue has no log, but it has copies of files.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from testrunner.clock import ClockNow
from testrunner.models import LogChunk, RunFile, TestResult, TestRun

RUNS_BATCH_SIZE = 10  # runs deleted per transaction
LOGS_BATCH_SIZE = 50  # runs per transaction; each may have 20,000 results
TIME_BUDGET = 60.0  # per call; the next call comes in an hour


def delete_old_logs(seconds: float = TIME_BUDGET) -> int:
    """Remove logs, reports, tracebacks and file copies that are older than TESTRUN_LOG_DAYS.

    Stops after about `seconds`; returns the number of runs.
    """
    until = time.monotonic() + seconds
    before = ClockNow() - timedelta(days=settings.TESTRUN_LOG_DAYS)
    old = TestRun.objects.filter(is_kept=True, finished_at__lt=before).order_by("finished_at")
    forgotten = 0
    while some := _delete_logs_batch(old):
        forgotten += some
        if time.monotonic() >= until:
            break
    return forgotten


@transaction.atomic
def _delete_logs_batch(old: QuerySet[TestRun]) -> int:
    # A run that another transaction has locked is left for the next call, so that no two calls wait for each other.
    locked = old.select_for_update(skip_locked=True, no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True)[:LOGS_BATCH_SIZE])
    LogChunk.objects.filter(run__in=ids).delete()
    RunFile.objects.filter(run__in=ids).update(content=b"")
    TestResult.objects.filter(run__in=ids).exclude(details="").update(details="")
    TestRun.objects.filter(pk__in=ids).update(log_size=0, junit_xml="", is_kept=False)
    return len(ids)


def old_runs() -> QuerySet[TestRun]:
    """Finished runs that are older than TESTRUN_DAYS and have no tasks due, oldest first."""
    before = ClockNow() - timedelta(days=settings.TESTRUN_DAYS)
    return TestRun.objects.filter(status__in=TestRun.FINISHED, finished_at__lt=before, tasks_due=False).order_by("id")


def count_old_runs() -> int:
    """Return how many runs repeated calls of `delete_old_runs` would delete."""
    return old_runs().count()


@transaction.atomic
def delete_old_runs() -> int:
    """Delete some of the old runs with their results, logs and files; return their number."""
    locked = old_runs().select_for_update(skip_locked=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True)[:RUNS_BATCH_SIZE])
    for model in (LogChunk, RunFile, TestResult):
        model.objects.filter(run__in=ids).delete()
    TestRun.objects.filter(pk__in=ids).delete()
    return len(ids)
