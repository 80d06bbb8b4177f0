"""One active run per environment, with instant runs, several worker processes, and lost, duplicated and
late wake-ups.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

from testrunner import services
from testrunner.files.snapshot import Snapshot
from testrunner.models import TestEnvironment, TestRun
from testrunner.queue import sweeper
from testrunner.tests.racing import Broker, workers

pytestmark = pytest.mark.thorough

RUNS, ENVIRONMENTS = 1_000, 10
SWEEP = 1.0  # seconds; beat's interval is three
PATIENCE = 1_700.0


@dataclass
class Race:
    """Observations inside the runs, and the time at which each was requested."""

    folder: Path
    asked: list[tuple[int, int, float, float]]  # environment, run, begin and end of the call that queued it

    @property
    def overlaps(self) -> int:
        path = self.folder / "overlaps"
        return len(path.read_text().split()) if path.exists() else 0

    @property
    def ran(self) -> dict[int, list[int]]:
        files = self.folder.glob("order-*")
        return {int(file.name.split("-")[1]): list(map(int, file.read_text().split())) for file in files}

    @property
    def inversions(self) -> int:
        """The number of pairs in which one run was queued before the other was requested, and yet ran later."""
        count = 0
        for environment, order in self.ran.items():
            place = {run: number for number, run in enumerate(order)}
            here = [asked for asked in self.asked if asked[0] == environment]
            count += sum(
                1 for _, run, _, end in here for _, other, begin, _ in here if end < begin and place[run] > place[other]
            )
        return count


def race(tester, folder: Path, *, runs: int, environments: int, processes: int = 4, how: str = "as-it-is") -> Race:
    """Queue `runs` runs from four threads, while worker processes with eight slots in total execute them."""
    chance = random.Random(runs)
    broker = Broker(chance)
    asked: list[tuple[int, int, float, float]] = []
    file = Snapshot("samples", "test_a.py", b"")

    def ask(environment: int) -> None:
        begin = time.monotonic()
        run = services.start_run(user=tester, environment=TestEnvironment(pk=environment), files=[file])
        asked.append((environment, run.pk, begin, time.monotonic()))

    def client(some: list[int]) -> None:
        try:
            for environment in some:
                ask(environment)
        finally:
            connection.close()

    wanted = [chance.randint(1, environments) for _ in range(runs)]
    with (
        pytest.MonkeyPatch.context() as patch,
        workers(
            folder, connection.settings_dict["NAME"], processes=processes, slots=8 // processes, how=how, broker=broker
        ),
    ):
        patch.setattr("core.wake._send", lambda task, args, options: broker.take())
        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(client, wanted[number::4]) for number in range(4)]
            until = time.monotonic() + PATIENCE
            while not all(it.done() for it in clients) or TestRun.objects.unfinished().exists():
                assert time.monotonic() < until, "somebody was forgotten"
                sweeper.sweep()
                threading.Event().wait(SWEEP)
        for it in clients:
            it.result()
    assert list(folder.glob("problem-*")) == []
    return Race(folder, asked)


def check(found: Race, runs: int) -> None:
    assert found.overlaps == 0
    assert found.inversions == 0
    assert sorted(run for order in found.ran.values() for run in order) == sorted(run for _, run, _, _ in found.asked)
    assert TestRun.objects.filter(status="success").count() == runs


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
def test_100_runs_in_10_environments_never_overlap_nor_overtake(tester, tmp_path):
    check(race(tester, tmp_path, runs=100, environments=10, processes=2), 100)


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["as-it-is", "in-pytest"])
def test_1000_runs_in_10_environments_never_overlap_nor_overtake(tester, tmp_path, how):
    check(race(tester, tmp_path, runs=RUNS, environments=ENVIRONMENTS, how=how), RUNS)


@pytest.fixture
def without_the_constraint():
    """Remove the constraint that prevents two active runs, so that only the claim does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef('testrunner_testrun_one_active'::regclass)")
        (definition,) = cursor.fetchone()
        cursor.execute("DROP INDEX testrunner_testrun_one_active")
    yield
    TestRun.objects.running().delete()
    with connection.cursor() as cursor:
        cursor.execute(definition)


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(1800)
def test_check_then_lock_fails_this_very_test(tester, tmp_path, without_the_constraint):
    """The race test can fail: an implementation that first checks and then locks does fail it."""
    found = race(tester, tmp_path, runs=RUNS, environments=ENVIRONMENTS, how="check-then-lock")

    with pytest.raises(AssertionError):
        check(found, RUNS)
    assert found.overlaps > 0
