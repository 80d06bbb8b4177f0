"""A worker whose pool is stuck, and one whose messages exceed RabbitMQ's consumer timeout."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.tests.instance import PROJECT, RECOVERY, ROUNDS, Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
SEND = """
import random
from config.tests.slow_tasks import app
with app.connection_for_write() as connection:
    producer = app.amqp.Producer(connection)
    for _ in range({number}):
        app.send_task("tests.{task}", [{seconds}], producer=producer)
"""
STORE = """
    INSERT INTO events_notification (event_id, user_id, description, status, attempts, error)
    VALUES (gen_random_uuid(), 'nobody', 'Hello', 'NotProcessed', 0, '')
"""


class Worker:
    """A worker under its watchdog, with the tasks of slow_tasks.py."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.start()

    def start(self) -> None:
        argv = [
            "-m",
            "config.processes.watchdog",
            "worker",
            "-m",
            "celery",
            "-q",
            "-A",
            "config.tests.slow_tasks",
            "worker",
        ]
        argv += [
            "-n",
            "worker@%h",
            "-Q",
            "default,events",
            "-c",
            "2",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        self.watchdog = subprocess.Popen(
            [sys.executable, *argv], cwd=PROJECT, env=self.instance.env, stdout=self.instance.log,
            stderr=self.instance.log, start_new_session=True,
        )  # fmt: skip

    @property
    def main(self) -> psutil.Process:
        return psutil.Process(self.watchdog.pid).children()[0]

    def pool(self) -> list[psutil.Process]:
        with contextlib.suppress(IndexError, psutil.Error):
            return self.main.children()
        return []

    def until_up(self) -> Worker:
        self.instance.wait_for(lambda: len(self.pool()) == 2, 60)
        return self

    def works(self, seconds: float = RECOVERY) -> None:
        """Wait until a new notification has been sent; restart the worker if it has ended, as supervisors do."""
        self.instance.sql(STORE)
        self.instance.wait_for(self._has_sent_everything, seconds)

    def _has_sent_everything(self) -> bool:
        if self.watchdog.poll() is not None:
            self.start()
        waiting = "SELECT count(*) FROM events_notification WHERE status <> 'Processed'"
        return bool(self.instance.one(waiting) == 0)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.watchdog.pid, signal.SIGKILL)
        self.watchdog.wait()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.start_beat()  # sends the task for notifications every five seconds
        yield instance


@pytest.fixture
def worker(instance: Instance) -> Iterator[Worker]:
    worker = Worker(instance).until_up()
    yield worker
    worker.end()


def send(instance: Instance, task: str, seconds: str, number: int) -> None:
    run(instance, SEND.format(task=task, seconds=seconds, number=number))


def run(instance: Instance, code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=instance.env, check=True)


def log_of(instance: Instance) -> str:
    return Path(instance.log.name).read_text(errors="replace")


def test_a_wedged_pool_ends_its_worker_and_the_next_one_works(instance, worker):
    for _ in range(ROUNDS):
        wedge(instance)
        wedged = time.monotonic()

        assert worker.watchdog.wait(RECOVERY) == -signal.SIGKILL
        print(f"the wedged worker was killed after {time.monotonic() - wedged:.1f} s", flush=True)
        assert "made no progress for" in log_of(instance)
        run(instance, "from config.tests.slow_tasks import app; app.control.purge()")
        worker.start()
        worker.until_up().works()


def wedge(instance: Instance) -> None:
    """End tasks by their soft limit while they report a long error, until the pool's pipe is broken."""
    before = log_of(instance).count("Unrecoverable error")
    for _ in range(30):
        send(instance, "end_in_the_middle", "0.2 + random.uniform(-0.004, 0.004)", 100)
        with contextlib.suppress(AssertionError):
            instance.wait_for(lambda: log_of(instance).count("Unrecoverable error") > before, 20)
            return


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_worker_whose_idle_pool_processes_break_works_again(instance, worker, number):
    for _ in range(ROUNDS):
        for process in worker.pool():
            process.send_signal(number)
        broken = time.monotonic()

        worker.works()

        print(f"{number.name} of the whole pool: works again after {time.monotonic() - broken:.1f} s")
        worker.until_up()


@pytest.mark.skipif(
    os.environ.get("RABBITMQ_CONSUMER_TIMEOUT") != "60000",
    reason="needs RABBITMQ_CONSUMER_TIMEOUT=60000, and a RabbitMQ whose consumer_timeout is that",
)
def test_a_worker_whose_channel_was_closed_by_the_consumer_timeout_works_again(instance, worker):
    send(instance, "sleep", "100", 4)  # two run, two exceed RabbitMQ's timeout, which it checks once a minute
    pid = worker.main.pid

    instance.wait_for(lambda: "PRECONDITION_FAILED" in log_of(instance), 190)
    worker.works(300)  # the notification waits behind all of them

    assert worker.main.pid == pid and worker.watchdog.poll() is None
