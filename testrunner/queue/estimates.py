"""Queue positions and estimated start times of waiting runs.

The estimated duration of a run is the first of these that exists: the median of earlier runs of the same files in this
environment, the median of such runs in any environment, the median of the latest runs of all files, the run's time
limit. The durations ahead in the queue are added up. Under a reservation, the holder's runs come first; other runs
start at its end at the earliest. The result is shown as an estimate, and no run is started because of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from testrunner.clock import database_now
from testrunner.models import TestEnvironment, TestRun

SAMPLE_SIZE = 20  # number of runs in a median
_MEDIANS = """
SELECT wanted.files_key, wanted.environment_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY took)
FROM unnest(%(keys)s::text[], %(environments)s::int[]) AS wanted (files_key, environment_id)
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM finished_at - started_at) AS took FROM testrunner_testrun
    WHERE files_key = wanted.files_key AND environment_id = wanted.environment_id AND status IN ('success', 'failed')
    ORDER BY id DESC LIMIT %(last)s
) AS runs
GROUP BY 1, 2
"""
_MEDIANS_ANYWHERE = """
SELECT wanted.files_key, percentile_cont(0.5) WITHIN GROUP (ORDER BY took)
FROM unnest(%(keys)s::text[]) AS wanted (files_key)
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM finished_at - started_at) AS took FROM testrunner_testrun
    WHERE files_key = wanted.files_key AND status IN ('success', 'failed') LIMIT %(last)s
) AS runs
GROUP BY 1
"""
_MEDIAN_OF_ALL = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM (
    SELECT extract(epoch FROM finished_at - started_at) AS took FROM testrunner_testrun
    WHERE status IN ('success', 'failed') ORDER BY id DESC LIMIT %(last)s
) AS runs
"""


@dataclass(frozen=True)
class QueuePosition:
    """A waiting run's position (1 starts next) and expected start; None while the environment is disabled."""

    position: int
    expected_start: datetime | None


@dataclass
class Queue:
    """An environment's active run and its waiting runs, in the order in which they will start."""

    active: TestRun | None
    waiting: list[TestRun]


def queues(environments: Iterable[TestEnvironment], now: datetime) -> dict[int, Queue]:
    """Return the queue of each environment by environment id, in one query."""
    found = {environment.pk: Queue(None, []) for environment in environments}
    runs = TestRun.objects.unfinished().filter(environment__in=found).defer("junit_xml", "selection")
    for run in runs.order_by("id"):
        if run.status == TestRun.Status.RUNNING:
            found[run.environment_id].active = run
        else:
            found[run.environment_id].waiting.append(run)
    for environment in environments:
        found[environment.pk].waiting = _in_order(environment, found[environment.pk].waiting, now)
    return found


def new_run_positions(
    environments: Iterable[TestEnvironment], found: dict[int, Queue], user: Any, now: datetime
) -> dict[int, QueuePosition]:
    """Return the turn that a run queued now by this user would get, by environment id."""
    joined = {}
    for environment in environments:
        run, queue = TestRun(pk=-environment.pk, environment=environment, created_by=user), found[environment.pk]
        run.wall_seconds = 0  # its own duration would delay only later runs
        joined[environment.pk] = Queue(queue.active, _in_order(environment, [*queue.waiting, run], now))
    found_positions = positions(environments, joined, now)
    return {environment.pk: found_positions[-environment.pk] for environment in environments}


def _in_order(environment: TestEnvironment, waiting: list[TestRun], now: datetime) -> list[TestRun]:
    if not environment.is_reserved(now):
        return waiting
    return sorted(waiting, key=lambda run: run.created_by_id != environment.reserved_by_id)


def positions(
    environments: Iterable[TestEnvironment], found: dict[int, Queue] | None = None, now: datetime | None = None
) -> dict[int, QueuePosition]:
    """Return the positions of all waiting runs in these environments, by run id."""
    environments, now = list(environments), now or database_now()
    found = found if found is not None else queues(environments, now)
    all_runs = [run for queue in found.values() for run in [*filter(None, [queue.active]), *queue.waiting]]
    durations = _durations(all_runs)
    all_positions: dict[int, QueuePosition] = {}
    for environment in environments:
        all_positions |= _positions_in(environment, found[environment.pk], durations, now)
    return all_positions


def _positions_in(
    environment: TestEnvironment, queue: Queue, durations: dict[int, timedelta], now: datetime
) -> dict[int, QueuePosition]:
    free = now
    if queue.active is not None and queue.active.started_at is not None:
        free = max(now, queue.active.started_at + durations[queue.active.pk])
    found_positions = {}
    for position, run in enumerate(queue.waiting, start=1):
        if environment.is_reserved(now) and run.created_by_id != environment.reserved_by_id:
            free = max(free, environment.reserved_until or free + (environment.reserved_for or timedelta()))
        found_positions[run.pk] = QueuePosition(position, free if environment.enabled else None)
        free += durations[run.pk]
    return found_positions


def _durations(runs: list[TestRun]) -> dict[int, timedelta]:
    """Return the estimated duration of each run, by run id."""
    if not runs:
        return {}
    kinds = sorted({(run.files_key, run.environment_id) for run in runs})
    keys = [key for key, _ in kinds]
    here = {(key, place): took for key, place, took in _query(_MEDIANS, keys=keys, environments=[p for _, p in kinds])}
    unknown = sorted({key for key, place in kinds if (key, place) not in here})
    anywhere = dict(_query(_MEDIANS_ANYWHERE, keys=unknown)) if unknown else {}
    [(of_all,)] = _query(_MEDIAN_OF_ALL) if set(unknown) - set(anywhere) else [(None,)]

    def seconds(run: TestRun) -> float:
        for took in (here.get((run.files_key, run.environment_id)), anywhere.get(run.files_key), of_all):
            if took is not None:
                return float(took)
        return float(run.wall_seconds)

    return {run.pk: timedelta(seconds=seconds(run)) for run in runs}


def _query(query: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"last": SAMPLE_SIZE, **values})
        return cursor.fetchall()
