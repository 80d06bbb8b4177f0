"""Quotas for waiting runs: per environment, per user in an environment, and bytes of files per user.

They are checked when a run is queued, under two locks: that of the user's requests in all environments, then that of
the environment.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from testrunner.models import RunFile, RunNotAllowed, TestRun

LOCK_NAMESPACE = 0x7E57  # namespace of Postgres advisory locks: "test"


class QuotaExceeded(RunNotAllowed):
    """A quota leaves no room for another run. The text says which limit applies and what to do."""


def lock_requests_of(user_id: int | None) -> None:
    """Serialize a user's requests for new runs in all environments, because their files are counted together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_NAMESPACE, user_id or 0])


def check(run: TestRun, size: int) -> None:
    """Raise QuotaExceeded if this new run, whose files have `size` bytes, exceeds a quota."""
    here = TestRun.objects.queued().filter(environment=run.environment_id)
    if (waiting := here.count()) >= settings.TESTRUN_MAX_QUEUED:
        raise QuotaExceeded(f"{waiting} runs are waiting in {run.environment}, the limit. Try again later.")
    if (mine := here.filter(created_by=run.created_by_id).count()) >= settings.TESTRUN_MAX_QUEUED_PER_USER:
        raise QuotaExceeded(f"{mine} of your runs are waiting in {run.environment}, the limit. Cancel some, or wait.")
    held = RunFile.objects.filter(run__status=TestRun.Status.QUEUED, run__created_by=run.created_by_id)
    if (held.aggregate(bytes=Sum("size"))["bytes"] or 0) + size > settings.TESTRUN_MAX_QUEUED_MB * 2**20:
        most = f"{settings.TESTRUN_MAX_QUEUED_MB} MiB"
        raise QuotaExceeded(f"The files of your waiting runs may have at most {most} together. Cancel some, or wait.")
