"""When a worker's pool counts as stuck. test_pool_chaos.py breaks real workers."""

import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import time_machine
from celery.worker import state

from config.processes.watchdog_client import MAX_COUNTED_SECONDS, RunningTime
from config.processes.worker_progress import STOPPED_TIMEOUT, STUCK_TIMEOUT, ProgressStep, is_stopped
from testrunner.queue.leases import Lease, renewer
from testrunner.sandbox.boottime import boottime


class Request:
    """The attributes of Celery's request that the boot step reads."""

    def __init__(self, name: str, *, limit: int | None = None) -> None:
        self.id = self.name = name
        self.time_limits = (limit, None)
        self.task = SimpleNamespace(time_limit=None)


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(state, "reserved_requests", set())
    monkeypatch.setattr(state, "active_requests", set())
    return SimpleNamespace(pool=SimpleNamespace(num_processes=2, signal_safe=True, _pool=None), steps=[])


@pytest.fixture
def working(worker) -> ProgressStep:
    return ProgressStep(worker)


class Clock:
    """The clock of the worker's process; `problem` checks the pool at its current time."""

    def __init__(self, working: ProgressStep, worker: SimpleNamespace) -> None:
        self.now = 0.0
        self.working, self.worker = working, worker
        working.time = RunningTime(lambda: self.now)

    def shift(self, seconds: float) -> None:
        """Advance the clock, checking the pool at intervals."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + MAX_COUNTED_SECONDS, until)
            self.problem()

    def problem(self) -> str | None:
        return self.working.problem(self.worker, self.working.time.read())


@pytest.fixture
def clock(working, worker) -> Clock:
    return Clock(working, worker)


def reserve(*requests: Request, running: bool) -> None:
    state.reserved_requests.update(requests)
    if running:
        state.active_requests.update(requests)


def test_a_task_that_waits_although_there_is_room_means_that_the_pool_is_stuck(worker, clock):
    reserve(Request("one"), running=True)
    reserve(Request("two"), running=False)

    assert clock.problem() is None
    clock.shift(STUCK_TIMEOUT - 1)
    assert clock.problem() is None
    clock.shift(2)
    assert clock.problem() == "two waits for a pool that has room"


def test_a_task_that_waits_for_its_turn_is_no_problem_also_at_the_moment_when_it_comes(worker, clock):
    first, second = Request("one"), Request("two")
    reserve(first, second, running=True)
    reserve(Request("three"), running=False)

    for _ in range(5):
        assert clock.problem() is None
        clock.shift(STUCK_TIMEOUT)
    state.active_requests.discard(first)
    state.reserved_requests.discard(first)

    assert clock.problem() is None


def test_a_task_that_outlives_its_time_limit_means_that_the_pool_is_stuck(worker, clock):
    reserve(Request("slow", limit=60), running=True)
    assert clock.problem() is None

    clock.shift(60 + STUCK_TIMEOUT - 1)
    assert clock.problem() is None
    clock.shift(2)
    assert clock.problem() == "slow runs for 76 s, its limit is 60 s"


def test_a_run_in_a_thread_may_take_as_long_as_it_likes(worker, clock):
    worker.pool.signal_safe = False
    reserve(Request("run", limit=60), running=True)

    clock.shift(36_000)

    assert clock.problem() is None


def test_a_runner_of_which_no_run_ends_is_stuck(worker, clock, monkeypatch):
    over, active = Lease(1, 1, renewed_at=-math.inf, overdue_at=0.0), Lease(2, 1, renewed_at=boottime())
    monkeypatch.setattr(renewer, "_leases", {1: over, 2: active})
    assert clock.problem() is None

    monkeypatch.setattr(renewer, "_leases", {1: over})
    assert clock.problem() == "no test run comes to its end"


def test_seconds_in_which_the_worker_itself_did_not_run_are_not_counted(clock):
    reserve(Request("slow", limit=60), running=True)
    reserve(Request("two"), running=False)
    assert clock.problem() is None

    for _ in range(3):
        clock.now += 3_600  # stopped, or suspended with its machine
        assert clock.problem() is None

    clock.shift(STUCK_TIMEOUT)
    assert clock.problem() == "two waits for a pool that has room"


def test_a_clock_that_is_set_makes_no_task_late(worker, working):
    reserve(Request("slow", limit=60), running=True)
    reserve(Request("two"), running=False)

    with time_machine.travel("2030-01-01T12:00:00Z") as clock:
        for hours in (0, 1, -2, 3):
            clock.shift(hours * 3_600)
            assert working.problem(worker, working.time.read()) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_pool_process_that_is_stopped_is_killed_after_a_while_and_another_is_not(worker, working):
    processes = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
    stopped, other = processes
    worker.pool._pool = SimpleNamespace(_pool=processes)
    try:
        os.kill(stopped.pid, signal.SIGSTOP)
        while not is_stopped(stopped.pid):
            time.sleep(0.01)
        working.end_stopped(worker, 1.0)
        working.end_stopped(worker, 1.0 + STOPPED_TIMEOUT)
        assert stopped.poll() is None

        working.end_stopped(worker, 1.1 + STOPPED_TIMEOUT)

        assert stopped.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
