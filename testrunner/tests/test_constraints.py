from datetime import timedelta

import pytest
from django.db import IntegrityError, models
from django.utils import timezone

from testrunner.factories import FileFactory, ResultFactory, RunFactory
from testrunner.models import EnvironmentVariable, TestEnvironment

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


def test_there_are_a_hundred_environments():
    found = TestEnvironment.objects.in_bulk()

    assert sorted(found) == list(range(1, 101))
    assert found[17].name == "Environment 17"


def test_there_is_no_environment_101():
    with refused("testrunner_testenvironment_one_of_hundred"):
        TestEnvironment.objects.create(id=101, name="One more")


def test_one_run_at_a_time_is_active_in_an_environment():
    RunFactory(running=True)
    RunFactory.create_batch(2)

    with refused("testrunner_testrun_one_active"):
        RunFactory(running=True)


def test_other_environments_are_not_concerned():
    RunFactory(running=True, environment_id=1)

    RunFactory(running=True, environment_id=2)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("testrunner_testrun_status", {"status": "dreaming"}),
        ("testrunner_testrun_times", {"started_at": "now"}),
        ("testrunner_testrun_times", {"status": "failed", "started_at": "now"}),
        ("testrunner_testrun_times", {"running": True, "finished_at": "now"}),
        ("testrunner_testrun_times_in_order", {"running": True, "started_at": "yesterday"}),
        ("testrunner_testrun_times_in_order", {"failure": True, "finished_at": "yesterday"}),
        ("testrunner_testrun_leased_while_running", {"running": True, "lease_until": None}),
        ("testrunner_testrun_leased_while_running", {"running": True, "lease_token": None}),
        ("testrunner_testrun_leased_while_running", {"lease_until": "now"}),
        ("testrunner_testrun_success_is_earned", {"success": True, "exit_code": 1}),
        ("testrunner_testrun_success_is_earned", {"success": True, "exit_code": None}),
        ("testrunner_testrun_success_is_earned", {"success": True, "tests": 0}),
        ("testrunner_testrun_success_is_earned", {"success": True, "errors": 1}),
        ("testrunner_testrun_ended_why", {"ended": True, "status": "lost"}),
        ("testrunner_testrun_cancelled_when", {"status": "cancelled", "finished_at": "now", "reason": "tired"}),
        ("testrunner_testrun_requested_by_somebody", {"requested_by": ""}),
        ("testrunner_testrun_wall", {"wall_seconds": 0}),
    ],
)
def test_a_run_that_cannot_be_is_refused(constraint: str, fields: dict):
    times = {"now": timezone.now() + timedelta(seconds=1), "yesterday": timezone.now() - timedelta(days=1)}

    with refused(constraint):
        RunFactory(**{name: times.get(value, value) for name, value in fields.items()})


@pytest.mark.parametrize(
    "name", ["", "1ST", "A B", "A=B", "ÄRGER", "TEST_ENVIRONMENT_ID", "PYTEST_ADDOPTS", "PATH", "DYLD_X"]
)
def test_a_variable_that_no_shell_exports_or_that_is_ours_is_refused(name: str):
    with refused("testrunner_environmentvariable_name"):
        EnvironmentVariable.objects.create(environment_id=17, name=name)


def test_a_variable_is_there_once():
    EnvironmentVariable.objects.create(environment_id=17, name="API_URL")
    EnvironmentVariable.objects.create(environment_id=18, name="API_URL")

    with refused("testrunner_environmentvariable_once"):
        EnvironmentVariable.objects.create(environment_id=17, name="API_URL")


@pytest.mark.parametrize("path", ["/etc/passwd", "../test_a.py", "a/../../b.py", "a/./b.py", "..", ""])
def test_a_file_lies_below_its_root(path: str):
    with refused("testrunner_testfile_below_root"):
        FileFactory(path=path)


def test_a_test_has_one_result_a_run():
    result = ResultFactory()

    with refused("testrunner_testresult_once"):
        ResultFactory(run=result.run, name=result.name)


@pytest.mark.parametrize("duration", [-1.0, 604_801.0, float("inf"), float("nan")])
def test_a_test_takes_a_time_that_pages_can_show(duration: float):
    with refused("testrunner_testresult_duration"):
        ResultFactory(duration=duration)


def test_an_environment_with_runs_is_not_deleted():
    RunFactory(environment_id=5)

    with pytest.raises(models.ProtectedError):
        TestEnvironment.objects.get(pk=5).delete()


def test_a_reservation_says_for_how_long(superuser):
    with refused("testrunner_testenvironment_reserved_how_long"):
        TestEnvironment.objects.filter(pk=5).update(reserved_by=superuser)
