import contextlib

import psycopg2
import pytest
from django.db import connection
from django.db.models import ProtectedError

from core.database import direct_connections
from core.errors import RelatedRowGone
from projects.factories import ProjectFactory
from projects.models import Comment, Task
from testrunner import services
from testrunner.factories import ResultFactory, RunFactory
from testrunner.models import FailureTask, TestEnvironment, TestRun
from testrunner.queue import claims
from testrunner.records import failure_tasks
from testrunner.sandbox.results.outcome import Finished, Outcome, TestOutcome
from testrunner.worker import runner

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = ProjectFactory(name="Payments")
    TestEnvironment.objects.filter(pk=17).update(project=project)
    return project


def ran(**outcomes: str) -> TestRun:
    """Create an ended run with these outcomes, and process its due tasks."""
    run = RunFactory(failure=True, tasks_due=True)
    for name, outcome in outcomes.items():
        ResultFactory(run=run, name=name, outcome=outcome, message="assert 1 == 2" if outcome == "failed" else "")
    failure_tasks.update_tasks(17)
    return run


def comments() -> list[str]:
    return [comment.content.partition("\n")[0].partition(":")[0] for comment in Comment.objects.order_by("id")]


def test_a_failed_test_opens_a_task_in_the_environments_project(project):
    run = ran(test_pay="failed", test_refund="error", test_list="passed", test_old="skipped")

    pay, refund = Task.objects.order_by("title")
    assert (pay.project, pay.title, refund.title) == (
        project, "test_pay fails in Environment 17", "test_refund fails in Environment 17",
    )  # fmt: skip
    assert "test_one.py::test_pay\n\nassert 1 == 2" in pay.description
    assert f"/admin/testrunner/testrun/{run.pk}/change/" in pay.description
    assert not TestRun.objects.filter(tasks_due=True).exists()


def test_a_test_that_fails_again_has_no_second_task_but_a_comment(project):
    ran(test_pay="failed")
    ran(test_pay="failed")

    assert Task.objects.count() == 1
    assert comments() == ["Fails again. assert 1 == 2"]


def test_a_test_that_passes_again_completes_its_task_once(project):
    ran(test_pay="failed")
    ran(test_pay="passed")
    ran(test_pay="passed")

    assert Task.objects.get().status == "completed"
    assert comments() == ["Passes again"]


def test_a_completed_task_is_open_again_when_its_test_fails(project):
    for outcome in ("failed", "passed", "failed"):
        ran(test_pay=outcome)

    assert Task.objects.get().status == "pending"
    assert comments() == ["Passes again", "Fails again. assert 1 == 2"]


def test_the_same_test_in_another_environment_has_a_task_of_its_own(project):
    ran(test_pay="failed")
    TestEnvironment.objects.filter(pk=18).update(project=project)
    run = RunFactory(failure=True, tasks_due=True, environment_id=18)
    ResultFactory(run=run, name="test_pay", outcome="failed")

    failure_tasks.update_tasks(18)

    assert Task.objects.count() == 2


def test_a_task_that_was_deleted_is_opened_anew(project):
    ran(test_pay="failed")
    Task.objects.all().delete()

    ran(test_pay="failed")

    assert FailureTask.objects.get().task == Task.objects.get()


def test_doing_it_twice_changes_nothing(project):
    ran(test_pay="failed")

    assert failure_tasks.update_tasks(17) == 0
    assert Task.objects.count() == 1


def test_what_went_wrong_half_way_is_done_later_and_once(project, monkeypatch):
    usual = failure_tasks.projects.create_task

    def gone_at_the_second(**fields):
        if "test_b" in fields["title"]:
            raise RelatedRowGone("project")
        return usual(**fields)

    monkeypatch.setattr(failure_tasks.projects, "create_task", gone_at_the_second)
    run = ran(test_a="failed", test_b="failed")
    assert list(TestRun.objects.filter(tasks_due=True)) == [run]
    assert not FailureTask.objects.filter(nodeid__endswith="test_b").exists()
    monkeypatch.setattr(failure_tasks.projects, "create_task", usual)

    failure_tasks.update_tasks(17)

    assert Task.objects.count() == 2


def test_where_everything_fails_fifty_tasks_say_so(project):
    ran(**{f"test_{number:03}": "failed" for number in range(60)})

    assert Task.objects.count() == failure_tasks.MAX_NEW_TASKS


def test_without_a_project_nothing_is_opened():
    ran(test_pay="failed")

    assert not Task.objects.exists()


def test_a_worker_is_called_for_what_is_still_due(project, monkeypatch):
    called = []
    monkeypatch.setattr(failure_tasks, "wake_worker", called.append)
    RunFactory(failure=True, tasks_due=True)
    RunFactory(failure=True)

    failure_tasks.sweep()

    assert called == [17]


def test_a_project_is_deleted_with_its_tasks_and_the_environment_forgets_it(project):
    ran(test_pay="failed")

    project.delete()

    assert TestEnvironment.objects.get(pk=17).project is None
    assert not FailureTask.objects.exists()
    with pytest.raises(ProtectedError):
        TestEnvironment.objects.get(pk=17).delete()


@pytest.mark.parametrize(
    ("outcome", "test", "all_ran", "due"),
    [
        (Outcome.FAILED, "failed", True, True),
        (Outcome.ERROR, "error", True, True),  # only fixtures failed
        (Outcome.ERROR, "error", False, False),
        (Outcome.ERROR, "passed", True, False),  # an exit code that does not match
        (Outcome.CANCELLED, "failed", False, False),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_run_that_judged_its_tests_marks_that_there_is_something_to_do(
    project, tester, environment, file, monkeypatch, outcome, test, all_ran, due
):
    called = []
    monkeypatch.setattr(failure_tasks, "wake_worker", called.append)
    run = services.start_run(user=tester, environment=environment, files=[file])

    def failing(spec, *, on_result, **_):
        TestRun.objects.filter(pk=run.pk).update(cancel_requested_at=claims.database_now())
        on_result(TestOutcome("samples/test_a.py::test_a", test))
        return Finished(outcome, "1 of 1 test failed.", 1, all_ran=all_ran)

    runner.execute_runs("w", failing)

    run.refresh_from_db()
    assert (run.tasks_due, called) == (due, [17] if due else [])


def test_settling_stops_after_its_time_and_leaves_the_rest_due(project):
    for _ in range(3):
        RunFactory(failure=True, tasks_due=True)

    assert failure_tasks.update_tasks(17, seconds=0) == 1
    assert TestRun.objects.filter(tasks_due=True).count() == 2
    assert failure_tasks.update_tasks(17) == 2


def test_a_run_of_many_tests_is_settled_in_steps_each_test_once(project, monkeypatch):
    monkeypatch.setattr(failure_tasks, "BATCH_SIZE", 2)
    run = RunFactory(failure=True, tasks_due=True)
    for number in range(5):
        ResultFactory(run=run, name=f"test_{number}", outcome="failed")
    usual, steps = failure_tasks._update_tasks, []

    def fails_at_the_second(*given):
        steps.append(given)
        if len(steps) == 2:
            raise RuntimeError("the worker is killed")
        usual(*given)

    monkeypatch.setattr(failure_tasks, "_update_tasks", fails_at_the_second)
    assert failure_tasks.update_tasks(17) == 0
    assert sorted(Task.objects.values_list("title", flat=True)) == [f"test_{n} fails in Environment 17" for n in (0, 1)]

    assert failure_tasks.update_tasks(17) == 1
    assert (Task.objects.count(), FailureTask.objects.count(), Comment.objects.count()) == (5, 5, 0)
    run.refresh_from_db()
    assert (run.tasks_due, run.tasks_opened) == (False, 5)


def test_no_more_tasks_are_opened_in_all_steps_than_for_one_run(project, monkeypatch):
    monkeypatch.setattr(failure_tasks, "BATCH_SIZE", 2)
    monkeypatch.setattr(failure_tasks, "MAX_NEW_TASKS", 3)

    ran(**{f"test_{number}": "failed" for number in range(5)})

    assert Task.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_what_a_later_run_says_of_a_test_counts_where_an_earlier_one_is_settled_after_it(project):
    first, second = (RunFactory(failure=True, tasks_due=True) for _ in range(2))
    for name, before, after in [("test_a", "passed", "failed"), ("test_b", "failed", "passed")]:
        ResultFactory(run=first, name=name, outcome=before)
        ResultFactory(run=second, name=name, outcome=after)
    ResultFactory(run=first, name="test_c", outcome="failed")

    with contextlib.closing(psycopg2.connect(**direct_connections.parameters())) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM testrunner_testrun WHERE id = %s FOR UPDATE", [first.pk])
        with connection.cursor() as ours:
            ours.execute("SET lock_timeout = '100ms'")
        failure_tasks.update_tasks(17)
        assert list(TestRun.objects.filter(tasks_due=True)) == [first]
        other.rollback()
    connection.close()
    failure_tasks.update_tasks(17)

    assert not TestRun.objects.filter(tasks_due=True).exists()
    titles = Task.objects.filter(status="pending").values_list("title", flat=True)
    assert set(titles) == {"test_a fails in Environment 17", "test_c fails in Environment 17"}
    assert Task.objects.count() == 2


def test_a_run_that_cannot_be_settled_stops_no_later_one(project, monkeypatch):
    first = RunFactory(failure=True, tasks_due=True)
    ResultFactory(run=first, name="test_a", outcome="failed")
    usual = failure_tasks._update_tasks
    monkeypatch.setattr(failure_tasks, "_update_tasks", lambda run, *more: 1 / 0 if run == first else usual(run, *more))

    second = ran(test_b="failed")

    assert list(TestRun.objects.filter(tasks_due=True)) == [first]
    assert FailureTask.objects.get().last_run == second
