"""Runs of real tests in real workers that are killed or stopped, or lose Postgres or the broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.tests.instance import RECOVERY, Instance, running_instance
from testrunner.queue.leases import GIVE_UP_AFTER
from testrunner.tests.running import processes_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

QUICK = "def test_quick():\n    pass\n"
ENDLESS = """
import time
def test_endless():
    while True:
        print("still here", flush=True)
        time.sleep(0.2)
"""
TWENTY_SECONDS = """
import time
def test_twenty():
    for number in range(100):
        print(number, flush=True)
        time.sleep(0.2)
"""
QUEUE = """
from django.contrib.auth.models import User
from testrunner import services
from testrunner.models import TestEnvironment
from testrunner.files.snapshot import Snapshot
user, _ = User.objects.get_or_create(username="tess")
for text in {texts!r}:
    files = [Snapshot("samples", "test_a.py", text.encode())]
    services.start_run(user=user, environment=TestEnvironment(pk={environment}), files=files)
"""


class House:
    """An instance with two runners of one slot each, and the state of its runs as seen from outside."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        for name in ("runner-a", "runner-b"):
            self.instance.start_runner(name, slots=1)
        self.instance.start_worker(processes=1)
        self.instance.start_beat()

    def queue(self, environment: int, *texts: str) -> list[int]:
        self.instance.shell(QUEUE.format(texts=texts, environment=environment))
        found = self.instance.sql(
            "SELECT id FROM testrunner_testrun WHERE environment_id = %s ORDER BY id DESC LIMIT %s",
            environment,
            len(texts),
        )
        return sorted(number for (number,) in found)

    def column(self, run: int, name: str):
        return self.instance.one(f"SELECT {name} FROM testrunner_testrun WHERE id = %s", run)

    def wait_for(self, run: int, *statuses: str, seconds: float = RECOVERY) -> None:
        self.instance.wait_for(lambda: self.column(run, "status") in statuses, seconds)

    def wait_for_log(self, run: int) -> None:
        self.instance.wait_for(lambda: self.column(run, "log_size") > 500)

    def processes(self, run: int) -> list[int]:
        """Return all processes that carry the run's mark. The supervisor has an empty environment, so it is not
        included.
        """
        return processes_of(f"run-{run}-{self.column(run, 'lease_token')}")

    def worker_of(self, run: int) -> psutil.Process:
        name = self.column(run, "worker").partition("@")[0]
        return psutil.Process(self.instance.processes[name].pid)

    def replace(self, process: psutil.Process) -> None:
        """Restart the worker, as a process supervisor would."""
        (name,) = (name for name, it in self.instance.processes.items() if it.pid == process.pid)
        self.instance.processes.pop(name).wait(30)
        self.instance.start_runner(name, slots=1)

    def most_active_at_once(self, environment: int) -> int:
        """Return the largest number of runs that were active here at the same time, by the times in their rows."""
        return self.instance.one(
            "SELECT coalesce(max(among), 0) FROM (SELECT (SELECT count(*) FROM testrunner_testrun other"
            " WHERE other.environment_id = run.environment_id AND other.started_at <= run.started_at"
            " AND coalesce(other.finished_at, 'infinity') > run.started_at) AS among"
            " FROM testrunner_testrun run WHERE environment_id = %s AND started_at IS NOT NULL) AS counted",
            environment,
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("runs")
    with running_instance(folder / "home", TESTRUN_STOP_SECONDS="1") as instance:
        yield House(instance)


def test_a_killed_workers_run_is_lost_its_processes_gone_and_the_next_one_started(house):
    run, following = house.queue(1, ENDLESS, QUICK)
    house.wait_for_log(run)
    worker, supervisors = house.worker_of(run), house.worker_of(run).children(recursive=True)
    assert house.processes(run)

    worker.send_signal(signal.SIGKILL)
    killed = time.monotonic()

    house.instance.wait_for(lambda: not house.processes(run), 10)
    assert not psutil.wait_procs(supervisors, timeout=10)[1]
    house.wait_for(run, "lost")
    print(f"lost {time.monotonic() - killed:.1f} s after the kill")
    house.wait_for(following, "success")
    assert "was not heard of for 35 s" in house.column(run, "reason")
    assert house.most_active_at_once(1) == 1
    house.replace(worker)


def test_the_run_of_a_stopped_worker_is_ended_by_its_supervisor_and_late_writes_are_refused(house):
    run, following = house.queue(2, ENDLESS, QUICK)
    house.wait_for_log(run)
    worker = house.worker_of(run)

    worker.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()

    house.instance.wait_for(lambda: not house.processes(run), GIVE_UP_AFTER + 10)
    print(f"no process of it {time.monotonic() - stopped:.1f} s after the worker was stopped")
    assert house.column(run, "status") == "running"
    house.wait_for(run, "lost", seconds=RECOVERY - (time.monotonic() - stopped))
    print(f"lost {time.monotonic() - stopped:.1f} s after it")
    house.wait_for(following, "success")
    size = house.column(run, "log_size")
    time.sleep(max(0.0, 60 - (time.monotonic() - stopped)))
    worker.send_signal(signal.SIGCONT)
    time.sleep(5)
    assert (house.column(run, "status"), house.column(run, "log_size")) == ("lost", size)
    assert house.column(following, "status") == "success"
    assert house.most_active_at_once(2) == 1
    assert worker.is_running()
    for again in house.queue(2, QUICK, QUICK):  # the worker continues normally
        house.wait_for(again, "success")


def test_a_run_outlives_a_crash_of_postgres(house):
    run, following = house.queue(3, TWENTY_SECONDS, QUICK)
    house.wait_for_log(run)

    house.instance.crash_postgres()

    house.wait_for(run, "success", "lost", seconds=90)
    house.wait_for(following, "success")
    assert house.column(run, "status") == "success"
    size, chunks = house.instance.sql(
        "SELECT log_size, (SELECT sum(length(data)) FROM testrunner_logchunk WHERE run_id = %s)"
        " FROM testrunner_testrun WHERE id = %s",
        run,
        run,
    )[0]
    assert size == chunks
    assert house.most_active_at_once(3) == 1


def test_without_a_broker_the_next_run_starts_and_what_is_new_when_it_is_back(house):
    run, following = house.queue(4, TWENTY_SECONDS, QUICK)
    house.wait_for_log(run)

    house.instance.stop_broker()
    (new,) = house.queue(5, QUICK)
    house.wait_for(run, "success")
    house.wait_for(following, "success")
    house.instance.start_broker()

    house.wait_for(new, "success")
    assert house.most_active_at_once(4) == 1


def test_a_worker_that_is_told_to_stop_gives_its_run_up_at_once(house):
    run, following = house.queue(6, ENDLESS, QUICK)
    house.wait_for_log(run)
    worker = house.worker_of(run)

    os.kill(worker.pid, signal.SIGTERM)

    house.wait_for(run, "lost", seconds=15)
    assert house.column(run, "reason") == "The worker was stopped while the run was active."
    house.wait_for(following, "success")
    house.replace(worker)


def test_a_queued_run_is_cancelled_while_another_goes_on(house):
    run, waiting, last = house.queue(7, TWENTY_SECONDS, QUICK, QUICK)
    house.wait_for_log(run)

    house.instance.shell(
        "from django.contrib.auth.models import User; from testrunner import services\n"
        "from testrunner.models import TestRun\n"
        f"services.cancel_run(run=TestRun.objects.get(pk={waiting}), user=User.objects.get(username='tess'))"
    )

    assert house.column(waiting, "status") == "cancelled"
    house.wait_for(run, "success")
    house.wait_for(last, "success")
