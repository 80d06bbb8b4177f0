"""Service functions that share rows, called on two connections at once: they wait for each other without a deadlock."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.tests.together import together
from projects import services as projects
from projects.factories import ProjectFactory
from projects.models import Project, Task
from testrunner import services
from testrunner.factories import ResultFactory, RunFactory
from testrunner.files import uploads
from testrunner.files.snapshot import Snapshot
from testrunner.models import RunNotAllowed, TestEnvironment, TestFile, TestRun
from testrunner.queue import claims, sweeper
from testrunner.records import failure_tasks, retention

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
ROUNDS = 2
FILE = Snapshot("samples", "test_success.py", b"def test_ok():\n    assert True\n")
MINUTE = timedelta(minutes=1)
REFUSALS = (RunNotAllowed, uploads.UploadRefused)


@pytest.fixture(autouse=True)
def no_second_try(monkeypatch, settings, tmp_path):
    """Disable retries, so that a deadlock is an error."""
    settings.TEST_UPLOADS_DIR = str(tmp_path)
    monkeypatch.setattr("core.database.deadlocks.is_deadlock", lambda error: False)


def prepare(tester: Any) -> dict[str, Callable[[], Any]]:
    """Create rows for every verb to act on; return the verbs, each as a callable."""
    Project.objects.all().delete()
    TestRun.objects.all().delete()
    project, another = ProjectFactory(), ProjectFactory()
    environment = TestEnvironment.objects.get(pk=17)
    TestEnvironment.objects.filter(pk=17).update(project=project, **dict.fromkeys(claims.RESERVATION[:4]))
    for tasks_due in (False, True):
        old = RunFactory(failure=True, tasks_due=tasks_due)
        for number in range(4) if not tasks_due else reversed(range(6)):
            ResultFactory(run=old, name=f"test_{number:02}", outcome="failed")
        if not tasks_due:
            TestRun.objects.filter(pk=old.pk).update(tasks_due=True)
            failure_tasks.update_tasks(17)
    waiting = RunFactory(created_by=tester)
    lost = RunFactory(running=True, environment_id=17)
    TestRun.objects.filter(pk=lost.pk).update(lease_until=claims.database_now() - MINUTE)
    file = uploads.upload(name="test_it.py", directory="", content=b"x = 1\n", user=tester, overwrite=True)
    ids = Task.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True)
    return {
        "start": lambda: services.start_run(user=tester, environment=environment, files=[FILE]),
        "rerun": lambda: services.rerun(run=old, user=tester),
        "cancel": lambda: services.cancel_run(run=waiting, user=tester),
        "claim": lambda: claims.claim(17, "w"),
        "reserve": lambda: services.reserve(environment=environment, user=tester, duration=MINUTE),
        "release": lambda: services.release(environment=environment, user=tester),
        "change": lambda: services.change_environment(environment=environment, user=tester, project=another),
        "reap": sweeper.mark_lost_runs,
        "end_reservations": sweeper.end_reservations,
        "retain": lambda: retention.delete_old_logs(),
        "settle": lambda: failure_tasks.update_tasks(17),
        "upload": lambda: uploads.upload(
            name="test_it.py", directory="", content=b"x = 2\n", user=tester, overwrite=True
        ),
        "remove": lambda: uploads.remove(file=file, user=tester),
        "delete_project": lambda: projects.delete_project(project=project),
        "delete_another": lambda: projects.delete_project(project=another),
        "update_tasks": lambda: projects.update_tasks(ids=list(ids), status="completed"),
        "delete_tasks": lambda: projects.delete_tasks(ids=list(ids)),
    }


OURS = [
    "start",
    "rerun",
    "cancel",
    "claim",
    "reserve",
    "release",
    "change",
    "reap",
    "end_reservations",
    "retain",
    "settle",
]
THEIRS = ["delete_project", "delete_another", "update_tasks", "delete_tasks"]
FILES = ["upload", "remove"]
# The verbs that each one shares rows with: itself, those after it, and those of `projects` that lock its rows.
PARTNERS = {name: OURS[place:] for place, name in enumerate(OURS)} | {"upload": FILES, "remove": ["remove"]}
for shares_tasks in ("change", "settle", "claim", "reap"):
    PARTNERS[shares_tasks] = PARTNERS[shares_tasks] + THEIRS


@pytest.mark.parametrize("one", PARTNERS)
def test_two_verbs_that_share_rows_do_not_deadlock(one, tester, settings, monkeypatch):
    monkeypatch.setattr(failure_tasks, "wake_worker", lambda environment_id: None)
    settings.TESTRUN_LOG_DAYS = 0
    for other in PARTNERS[one]:
        for _ in range(ROUNDS):
            verbs = prepare(tester)

            assert together(verbs[one], verbs[other], refusals=REFUSALS) == [], other


def test_every_pair_that_is_tried_has_something_to_do(tester, settings):
    """Each verb alone changes something. Pairs of verbs without effect would prove nothing."""
    settings.TESTRUN_LOG_DAYS = 0
    for name in [*OURS, *THEIRS, *FILES]:
        verbs = prepare(tester)
        if name in ("claim", "reserve"):
            verbs["reap"]()
        if name in ("release", "end_reservations"):
            verbs["reserve"]()
            TestEnvironment.objects.filter(pk=17).update(
                reserved_from=claims.database_now() - MINUTE,
                reserved_until=claims.database_now() + (MINUTE if name == "release" else -MINUTE / 2),
            )
        before = state()
        verbs[name]()
        assert state() != before, name


def state() -> list[Any]:
    rows = [TestRun, TestEnvironment, TestFile, Project, Task]
    return [*(list(model.objects.order_by("pk").values()) for model in rows), Task.history.count()]


def test_a_failure_is_settled_after_all_when_its_project_is_being_deleted(tester, monkeypatch):
    monkeypatch.undo()  # with retries enabled again
    for _ in range(5):
        verbs = prepare(tester)

        assert together(verbs["settle"], verbs["delete_project"], verbs["update_tasks"], refusals=REFUSALS) == []

        failure_tasks.update_tasks(17)
        assert not TestRun.objects.filter(tasks_due=True).exists()
        assert not Task.objects.exists()
