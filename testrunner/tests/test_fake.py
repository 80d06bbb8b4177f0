from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Q, Sum

from testrunner.demo.fake import create_demo_test_runs, create_fake_test_runs
from testrunner.factories import RunFactory
from testrunner.files.snapshot import Snapshot, files_key
from testrunner.models import EnvironmentVariable, TestEnvironment, TestResult, TestRun
from testrunner.queue import estimates

pytestmark = pytest.mark.django_db


def test_fake_runs_are_believable():
    create_fake_test_runs(500, 30)

    runs = TestRun.objects.annotate(
        found=Count("results"), wrong=Count("results", filter=Q(results__outcome="failed"))
    ).order_by("environment", "started_at")
    assert len(runs) == 500
    assert all((run.tests, run.failed) == (run.found, run.wrong) for run in runs)
    assert {run.status for run in runs} >= {"success", "failed"}
    for earlier, later in pairwise(runs):
        assert earlier.environment_id < later.environment_id or earlier.finished_at <= later.started_at
    assert TestRun.objects.aggregate(logs=Sum("log_size"))["logs"] > 0


def test_some_tests_are_flaky():
    create_fake_test_runs(500, 30)

    tests = TestResult.objects.order_by().values("environment", "nodeid")
    assert tests.annotate(kinds=Count("outcome", distinct=True)).filter(kinds__gt=1).exists()


def test_a_real_run_of_the_same_file_is_expected_to_take_as_long():
    create_fake_test_runs(100, 30)
    known = TestRun.objects.judged().first()
    file = known.files.get()

    assert known.files_key == files_key([Snapshot(file.root, file.path, b"")])
    waiting = RunFactory(environment_id=known.environment_id, files_key=known.files_key)
    positions = estimates.positions(TestEnvironment.objects.filter(pk=known.environment_id))
    assert positions[waiting.pk].position == 1


def test_the_command_says_what_it_did(capsys):
    call_command("create_fake_test_runs", total=10, days=1)

    assert "10 test runs" in capsys.readouterr().out
    assert TestRun.objects.count() == 10


@pytest.mark.parametrize("wrong", [{"total": 0}, {"total": 1, "days": 0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(CommandError, match="at least 1"):
        call_command("create_fake_test_runs", **wrong)


def test_demo_data_is_made_once():
    create_demo_test_runs()
    create_demo_test_runs()

    assert TestRun.objects.count() == 300
    assert EnvironmentVariable.objects.get().name == "API_URL"
