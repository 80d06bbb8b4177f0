"""Old runs keep their outcome and their results; their logs, reports and copies of files go after a while."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from testrunner.models import LogChunk, RunFile, TestRun

AT_ONCE = 200  # runs in a transaction
MOST = 5_000  # runs in one call; the next one comes in an hour


def forget_old_logs() -> int:
    """Remove what is older than TESTRUN_LOG_DAYS; return of how many runs."""
    before = timezone.now() - timedelta(days=settings.TESTRUN_LOG_DAYS)
    forgotten = 0
    while forgotten < MOST:
        old = TestRun.objects.filter(log_size__gt=0, finished_at__lt=before).order_by("finished_at")
        ids = list(old.values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            break
        with transaction.atomic():
            LogChunk.objects.filter(run__in=ids).delete()
            RunFile.objects.filter(run__in=ids).update(content=b"")
            TestRun.objects.filter(pk__in=ids).update(log_size=0, junit_xml="")
        forgotten += len(ids)
    return forgotten
