"""Computed values that are shown with environments and runs: state, holder, queue, expected start.

Each function handles many rows, in a number of queries that does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Length

from testrunner.clock import database_now
from testrunner.models import RunFile, TestEnvironment, TestFile, TestRun
from testrunner.queue import estimates

MAX_DETAILS = 200  # tracebacks in one response; a run may have 20,000 results
MAX_DETAILS_BYTES = 4 * 2**20  # characters of these tracebacks together
NOT_WAITING = estimates.QueuePosition(0, None)


def add_to_environments(environments: Iterable[TestEnvironment]) -> None:
    """Add `state`, `active`, `queue`, `holder` and `shown_variables` to each environment."""
    environments = list(environments)
    now = database_now()
    found = estimates.queues(environments, now)
    positions = estimates.positions(environments, found, now)
    row: Any
    for environment in environments:
        queue, row = found[environment.pk], environment
        for run in queue.waiting:
            _add_position(run, positions[run.pk])
        row.active, row.queue = queue.active, queue.waiting
        row.holder = str(environment.reserved_by) if environment.is_reserved(now) else None
        row.state = _state(environment, queue.active, now)
        row.shown_variables = [shown(variable) for variable in environment.variables.all()]


def add_new_run_positions(environments: Iterable[TestEnvironment], user: Any) -> None:
    """Add `new_run_position` and `new_run_starts_in` to each environment.

    They are the queue position of a run that this user would queue now, and the estimated time until it starts.
    """
    environments = list(environments)
    now = database_now()
    positions = estimates.new_run_positions(environments, estimates.queues(environments, now), user, now)
    row: Any
    for environment in environments:
        row, found = environment, positions[environment.pk]
        row.new_run_position = found.position
        row.new_run_starts_in = found.expected_start and max(found.expected_start - now, timedelta())


def add_to_runs(runs: Iterable[TestRun]) -> None:
    """Add `position` and `expected_start` to each run; None if it is not waiting."""
    runs = list(runs)
    places = {run.environment_id for run in runs if run.status == TestRun.Status.QUEUED}
    positions = estimates.positions(TestEnvironment.objects.filter(pk__in=places)) if places else {}
    for run in runs:
        _add_position(run, positions.get(run.pk, NOT_WAITING))


def file_ids(runs: Sequence[TestRun]) -> Callable[[TestRun], list[int]]:
    """Return a function that returns the ids of the test files chosen for a run.

    They identify the files as they are now, not the bytes that the run has.
    """
    wanted = {(file.root, file.path) for run in runs for file in _chosen(run)}
    rows = TestFile.objects.filter(path__in={path for _, path in wanted}).only("pk", "root", "path")
    known = {(row.root, row.path): row.pk for row in rows}
    return lambda run: [known[file.root, file.path] for file in _chosen(run) if (file.root, file.path) in known]


def _chosen(run: TestRun) -> list[RunFile]:
    return [file for file in run.files.all() if not file.comes_along]


def details_of(run: TestRun) -> dict[int, str]:
    """Return the tracebacks of a run's first failed tests, by result id."""
    explained = run.results.exclude(details="").annotate(size=Length("details")).order_by("id")
    chosen, room = [], MAX_DETAILS_BYTES
    for pk, size in explained.values_list("pk", "size")[:MAX_DETAILS]:
        room -= size
        if room < 0:
            break
        chosen.append(pk)
    return dict(run.results.filter(pk__in=chosen).values_list("pk", "details"))


def shown(variable: Any) -> dict[str, Any]:
    """Return a variable as users may see it; a secret value is replaced by None."""
    return {"name": variable.name, "value": None if variable.secret else variable.value, "secret": variable.secret}


def _state(environment: TestEnvironment, active: TestRun | None, now: datetime) -> str:
    if not environment.enabled:
        return "disabled"
    if active is not None:
        return "busy"
    return "reserved" if environment.is_reserved(now) else "free"


def _add_position(run: TestRun, position: estimates.QueuePosition) -> None:
    row: Any = run
    row.position, row.expected_start = position.position or None, position.expected_start
