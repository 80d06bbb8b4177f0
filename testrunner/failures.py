"""A test that fails in an environment has one task in the environment's project: opened, commented on, completed.

A run whose tests all ran is marked `tasks_due` in the transaction that ends it. Later, and as often as it takes, one
transaction a run does what its results ask for and takes the mark away: it happens once, or not yet, and whatever goes
wrong here never touches the run. An environment's runs are worked through in their order.

- fails, and has no task: one is opened. Somebody who deletes it gets a new one at the next failure.
- fails again: a comment; a task that was completed meanwhile is open again.
- passes, and has an open task: a comment, and the task is completed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from live.wake import wake
from projects import services as projects
from projects.models import Task
from testrunner.models import FailureTask, TestResult, TestRun

log = structlog.get_logger(__name__)

SETTLE = "testrunner.tasks.settle_failures"
AUTHOR = "test runner"
SECONDS = 20.0  # in one task; the sweeper calls for the rest
MOST_NEW = 50  # tasks that one run opens: where everything fails, fifty say so as well as a thousand
FAILS, PASSES = ("failed", "error"), ("passed", "xfailed")


def are_due(run: TestRun, status: TestRun.Status, *, set_ups_failed: bool) -> bool:
    """Whether a run that ends like this says anything about its tests, and anybody wants to know.

    One that is an error does where all of its tests ran and the set-up or teardown of some failed.
    """
    says = status in TestRun.JUDGED or (status == TestRun.Status.ERROR and set_ups_failed)
    return says and run.environment.project_id is not None


def call_worker(environment_id: int) -> None:
    wake(SETTLE, environment_id, expires=30)


def sweep() -> None:
    """Call a worker for every environment with results of which nothing was made yet."""
    due = TestRun.objects.filter(tasks_due=True).order_by().values_list("environment", flat=True)
    for environment_id in due.distinct():
        call_worker(environment_id)


def settle(environment_id: int, seconds: float = SECONDS) -> int:
    """Work through the due runs of this environment for about `seconds`, oldest first; return how many were settled."""
    settled, until = 0, time.monotonic() + seconds
    while _settle_next(environment_id):
        settled += 1
        if time.monotonic() >= until:
            break
    return settled


@transaction.atomic
def _settle_next(environment_id: int) -> bool:
    # Whoever comes at the same time waits for this row, finds it done, and leaves the rest to us.
    due = TestRun.objects.filter(environment=environment_id, tasks_due=True).order_by("id")
    run = due.select_for_update(of=("self",)).select_related("environment__project").first()
    if run is None:
        return False
    if run.environment.project is not None:
        _settle(run)
    TestRun.objects.filter(pk=run.pk).update(tasks_due=False)
    return True


def _settle(run: TestRun) -> None:
    results = run.results.filter(Q(outcome__in=FAILS) | Q(outcome__in=PASSES)).order_by("nodeid")
    known = {
        failure.nodeid: failure
        for failure in FailureTask.objects.filter(environment=run.environment_id).select_related("task")
    }
    new = []
    for result in results.iterator():
        failure = known.get(result.nodeid)
        if failure is not None:
            _go_on(run, result, failure)
        elif result.outcome in FAILS:
            new.append(result)
    _open(run, new)


def _open(run: TestRun, results: Iterable[TestResult]) -> None:
    results = list(results)
    if len(results) > MOST_NEW:
        log.warning("too_many_failures_for_tasks", run=run.pk, failures=len(results))
    for result in results[:MOST_NEW]:
        assert run.environment.project is not None  # noqa: S101  somebody asked before
        task = projects.create_task(
            project=run.environment.project,
            title=f"{result.name} fails in {run.environment.name}"[:255],
            description=f"{result.nodeid}\n\n{_words(run, result)}",
        )
        FailureTask.objects.create(environment=run.environment, nodeid=result.nodeid, task=task, last_run=run)


def _go_on(run: TestRun, result: TestResult, failure: FailureTask) -> None:
    completed = failure.task.status == Task.Status.COMPLETED
    if result.outcome in PASSES and completed:
        return
    if result.outcome in PASSES:
        projects.add_comment(task=failure.task, author=AUTHOR, content=f"Passes again: {_address(run)}")
        projects.move_task(task=failure.task, status=Task.Status.COMPLETED)
    else:
        projects.add_comment(task=failure.task, author=AUTHOR, content=f"Fails again. {_words(run, result)}")
        if completed:
            projects.move_task(task=failure.task, status=Task.Status.PENDING)
    FailureTask.objects.filter(pk=failure.pk).update(last_run=run)


def _words(run: TestRun, result: TestResult) -> str:
    return f"{result.message[:1_000] or result.get_outcome_display()}\n\n{_address(run)}"


def _address(run: TestRun) -> str:
    return f"{settings.PUBLIC_URL}/admin/testrunner/testrun/{run.pk}/change/"
