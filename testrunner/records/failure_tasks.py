"""Tasks for failing tests: a test that fails in an environment has one task in the environment's project.

A run whose tests all ran is marked `tasks_due` in the transaction that ends it. Later, short transactions process its
results, BATCH_SIZE at a time, and advance `tasks_after`, the id of the last processed result. The last one clears the
mark. So each result is processed once or still waiting, and errors here never affect the run. An environment's runs are
processed in their order. A run that causes an error is logged and left for the next sweep. If a later run is processed
before it, the later run's result for a test counts, and the earlier result is skipped.

Each transaction locks the run, then the environment's project, then the tasks in the order of their ids. That is the
order in which projects are deleted and tasks are changed (docs/architecture/platform.md).

- A test fails and has no task: a task is opened. If a user deletes it, the next failure opens a new one.
- It fails again: a comment is added; a task that was completed meanwhile is reopened.
- It passes and has an open task: a comment is added, and the task is completed.
"""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.database.deadlocks import retried
from core.wake import wake
from projects import services as projects
from projects.models import Project, Task
from testrunner.models import FailureTask, TestResult, TestRun

log = structlog.get_logger(__name__)

UPDATE_TASKS = "testrunner.tasks.update_failure_tasks"
AUTHOR = "test runner"
SECONDS = 20.0  # per call; the sweeper triggers the rest
BATCH_SIZE = 200  # results per transaction
MAX_NEW_TASKS = 50  # tasks that one run opens; if everything fails, fifty tasks are as informative as a thousand


def are_due(run: TestRun, status: TestRun.Status, *, set_ups_failed: bool) -> bool:
    """Whether a run that ends with this status provides results for tasks, and its environment has a project.

    A run that ends as an error provides them only if all of its tests ran and the set-up or teardown of some failed.
    """
    says = status in TestRun.JUDGED or (status == TestRun.Status.ERROR and set_ups_failed)
    return says and run.environment.project_id is not None


def wake_worker(environment_id: int) -> None:
    wake(UPDATE_TASKS, environment_id, expires=30)


def sweep() -> None:
    """Wake a worker for every environment with runs whose tasks are due."""
    due = TestRun.objects.filter(tasks_due=True).order_by().values_list("environment", flat=True)
    for environment_id in due.distinct():
        wake_worker(environment_id)


def update_tasks(environment_id: int, seconds: float = SECONDS) -> int:
    """Process the due runs of this environment for about `seconds`, oldest first; return how many were completed."""
    due = TestRun.objects.filter(environment=environment_id, tasks_due=True).order_by("id")
    completed, until = 0, time.monotonic() + seconds
    for run_id in due.values_list("pk", flat=True):
        try:
            while more := _update_batch(run_id):
                if time.monotonic() >= until:
                    break
            completed += not more
        except Exception:
            log.exception("failures_not_settled", run=run_id)
        if time.monotonic() >= until:
            break
    return completed


@retried
@transaction.atomic
def _update_batch(run_id: int) -> bool:
    """Process the next results of this run; return whether there are more."""
    # A second worker waits for this row, and continues where the first one stopped.
    due = TestRun.objects.filter(pk=run_id, tasks_due=True)
    run = due.select_for_update(no_key=True, of=("self",)).select_related("environment").first()
    if run is None:
        return False
    projects_of = Project.objects.filter(test_environments=run.environment)
    project = projects_of.select_for_update(no_key=True, of=("self",)).first()
    results = _next_results(run) if project is not None else []
    if project is not None:
        _update_tasks(run, project, results)
    run.tasks_due = len(results) == BATCH_SIZE
    run.tasks_after = results[-1].pk if results else run.tasks_after
    run.save(update_fields=["tasks_due", "tasks_after", "tasks_opened"])
    return run.tasks_due


def _next_results(run: TestRun) -> list[TestResult]:
    return list(run.results.filter(outcome__in=TestResult.JUDGED, pk__gt=run.tasks_after).order_by("pk")[:BATCH_SIZE])


def _update_tasks(run: TestRun, project: Project, results: list[TestResult]) -> None:
    known, outdated = _known(run, results), _outdated(run, results)
    for result in results:
        if result.nodeid in outdated:
            continue
        if (failure := known.get(result.nodeid)) is not None:
            _update_task(run, result, failure)
        elif result.outcome in TestResult.FAILURES and run.tasks_opened < MAX_NEW_TASKS:
            _open(run, project, result)
        elif result.outcome in TestResult.FAILURES:
            log.warning("too_many_failures_for_tasks", run=run.pk, nodeid=result.nodeid)


def _known(run: TestRun, results: list[TestResult]) -> dict[str, FailureTask]:
    """Return the existing tasks of these tests, locked, by test id."""
    nodeids = [result.nodeid for result in results]
    failures = FailureTask.objects.filter(environment=run.environment_id, nodeid__in=nodeids)
    tasks = Task.objects.filter(pk__in=failures.values("task")).order_by("pk").select_for_update(of=("self",))
    locked = {task.pk: task for task in tasks}
    found = {}
    for failure in failures.filter(task__in=locked):
        failure.task = locked[failure.task_id]
        found[failure.nodeid] = failure
    return found


def _outdated(run: TestRun, results: list[TestResult]) -> set[str]:
    """Return the ids of the tests for which a later, already processed run in this environment has a result."""
    later = TestResult.objects.filter(environment=run.environment_id, nodeid__in=[result.nodeid for result in results])
    completed = Q(run__tasks_due=False) & Q(run__status__in=TestRun.JUDGED)
    later = later.filter(completed, run__gt=run.pk, outcome__in=TestResult.JUDGED)
    return set(later.values_list("nodeid", flat=True))


def _open(run: TestRun, project: Project, result: TestResult) -> None:
    task = projects.create_task(
        project=project,
        title=f"{result.name} fails in {run.environment.name}"[:255],
        description=f"{result.nodeid}\n\n{_description(run, result)}",
    )
    FailureTask.objects.create(environment=run.environment, nodeid=result.nodeid, task=task, last_run=run)
    run.tasks_opened += 1


def _update_task(run: TestRun, result: TestResult, failure: FailureTask) -> None:
    completed = failure.task.status == Task.Status.COMPLETED
    if result.outcome in TestResult.PASSES and completed:
        return
    if result.outcome in TestResult.PASSES:
        projects.add_comment(task=failure.task, author=AUTHOR, content=f"Passes again: {_run_url(run)}")
        projects.move_task(task=failure.task, status=Task.Status.COMPLETED)
    else:
        projects.add_comment(task=failure.task, author=AUTHOR, content=f"Fails again. {_description(run, result)}")
        if completed:
            projects.move_task(task=failure.task, status=Task.Status.PENDING)
    FailureTask.objects.filter(pk=failure.pk).update(last_run=run)


def _description(run: TestRun, result: TestResult) -> str:
    return f"{result.message[:1_000] or result.get_outcome_display()}\n\n{_run_url(run)}"


def _run_url(run: TestRun) -> str:
    return f"{settings.PUBLIC_URL}/admin/testrunner/testrun/{run.pk}/change/"
