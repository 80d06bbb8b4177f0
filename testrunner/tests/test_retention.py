from datetime import timedelta

import pytest
from django.utils import timezone

from testrunner import services
from testrunner.factories import ResultFactory, RunFactory
from testrunner.models import LogChunk, RunFile, RunNotAllowed, TestRun
from testrunner.records import retention

pytestmark = pytest.mark.django_db


def finished(days_ago: int):
    end = timezone.now() - timedelta(days=days_ago)
    run = RunFactory(success=True, queued_at=end, started_at=end, finished_at=end, log_size=3, junit_xml="<x/>")
    LogChunk.objects.create(run=run, offset=0, data=b"log")
    RunFile.objects.create(run=run, position=0, root="samples", path="a.py", sha256="0" * 64, size=1, content=b"1")
    ResultFactory(run=run, outcome="failed", message="assert 1 == 2", details="a traceback")
    return run


def test_old_logs_and_copies_of_files_go_and_results_stay(settings):
    settings.TESTRUN_LOG_DAYS = 90
    old, young = finished(days_ago=91), finished(days_ago=89)

    assert retention.delete_old_logs() == 1

    old.refresh_from_db()
    assert (old.log.count(), old.log_size, old.junit_xml, old.results.count()) == (0, 0, "", 1)
    assert (old.results.get().details, old.results.get().message) == ("", "assert 1 == 2")
    assert bytes(old.files.get().content) == b""
    assert (young.log.count(), bytes(young.files.get().content)) == (1, b"1")
    assert retention.delete_old_logs() == 0


@pytest.mark.parametrize("status", ["cancelled", "lost"])
def test_what_never_wrote_a_line_is_let_go_of_too(status, tester):
    old = finished(days_ago=91)
    old.log.all().delete()
    TestRun.objects.update(
        status=status, reason="It never began.", log_size=0, junit_xml="", cancel_requested_at=old.finished_at
    )

    assert retention.delete_old_logs() == 1
    assert bytes(old.files.get().content) == b""
    assert retention.delete_old_logs() == 0


def test_a_run_whose_files_are_gone_is_not_rerun(tester):
    old = finished(days_ago=91)
    retention.delete_old_logs()

    with pytest.raises(RunNotAllowed, match="not kept any more"):
        services.rerun(run=old, user=tester)


def test_it_stops_after_its_time_and_the_next_call_continues(monkeypatch):
    monkeypatch.setattr(retention, "LOGS_BATCH_SIZE", 1)
    finished(days_ago=91), finished(days_ago=92)

    assert [retention.delete_old_logs(seconds=0) for _ in range(3)] == [1, 1, 0]
