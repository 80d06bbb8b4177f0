"""Fault injection into a complete Opsroom under load, started as by `make run` and the containers.

Each round breaks several processes at random moments and then gives each part new work: an event that is counted, a
notification that is delivered, a test run that passes. All of it must be done within RECOVERY seconds, without
intervention. At the end everything that was acknowledged exists exactly once.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests

from config.tests.instance import PROJECT, RECOVERY, ROUNDS, Instance, frozen, running_instance
from events.tests.test_ingest_chaos import HEADERS, MAKE_KEY

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
ALL = ("web", "worker", "runner", "beat")
PEOPLE = """
from django.contrib.auth.models import User
User.objects.create_superuser("root", password="correct horse")
"""
QUICK = b"def test_quick():\n    pass\n"
STORE = """
    INSERT INTO events_notification (event_id, user_id, description, status, attempts, error)
    SELECT gen_random_uuid(), user_uuid, %s, 'NotProcessed', 0, '' FROM chats_chat ORDER BY id LIMIT 1
    RETURNING event_id
"""


class House:
    """An instance with everything running, and a load that records what was acknowledged."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.over = threading.Event()
        self.at_work = threading.Lock()  # held while the load sends
        self.events: list[str] = []
        self.notifications: list[str] = []
        self.runs: list[int] = []
        self.session = requests.Session()
        self.load = threading.Thread(target=self._load)

    def begin(self) -> None:
        self.instance.start_all()
        self.instance.wait_for(self.instance.is_well, 120)
        answer = self.session.post(
            f"{self.instance.url}/auth/token/", {"username": "root", "password": "correct horse"}, timeout=30
        )
        self.session.headers["Authorization"] = f"Token {answer.json()['token']}"
        answer = self.session.post(
            f"{self.instance.url}/test-files/", {"directory": ""}, files={"file": ("test_quick.py", QUICK)}, timeout=30
        )
        self.file = answer.json()["id"]
        self.load.start()

    def end(self) -> None:
        self.over.set()
        self.load.join()

    def _load(self) -> None:
        """Send events and notifications, ten a second. A failed request is dropped: it was not acknowledged."""
        while not self.over.wait(0.1):
            with self.at_work:
                self.send_event()
                self.send_notification()

    def send_event(self) -> str | None:
        event = {
            "event_id": str(uuid4()), "session_id": "s", "category": "c", "name": "n", "data": {},
            "timestamp": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        with contextlib.suppress(requests.RequestException):
            if requests.post(f"{self.instance.url}/events/", json=event, headers=HEADERS, timeout=5).status_code == 202:
                self.events.append(str(event["event_id"]))
                return str(event["event_id"])
        return None

    def send_notification(self) -> str:
        ((identity,),) = self.instance.sql(STORE, f"For {uuid4()}")
        self.notifications.append(str(identity))
        return str(identity)

    def start_run(self, environment: int) -> int | None:
        body = {"environment": environment, "files": [self.file]}
        with contextlib.suppress(requests.RequestException):
            answer = self.session.post(f"{self.instance.url}/test-runs/", json=body, timeout=5)
            if answer.status_code == 201:
                self.runs.append(answer.json()["id"])
                return self.runs[-1]
        return None

    def works_again(self, environment: int) -> float:
        """Return the seconds until each part has done new work and all processes are healthy."""
        began = time.monotonic()
        until = began + RECOVERY
        run = None
        while run is None:
            assert time.monotonic() < until, f"web does not answer: see {self.instance.log.name}"
            run = self.start_run(environment)
            time.sleep(0.2)
        notification = self.send_notification()
        wait = self.instance.wait_for
        wait(lambda: self.status_of("events_notification", "event_id", notification) == "Processed", left(until))
        wait(lambda: self.status_of("testrunner_testrun", "id", run) == "success", left(until))
        wait(lambda: self.session.get(f"{self.instance.url}/ping/", timeout=5).ok, left(until))
        uncounted = "SELECT count(*) FROM events_batch WHERE created_at < now() - interval '15 s'"
        wait(lambda: self.instance.one(uncounted) == 0, left(until))
        wait(self.no_pool_process_is_stopped, left(until))
        wait(self.processes_are_well, left(until))
        return time.monotonic() - began

    def status_of(self, table: str, key: str, value: object) -> str:
        return str(self.instance.one(f"SELECT status FROM {table} WHERE {key} = %s", value))

    def processes_are_well(self) -> bool:
        parts = self.instance.health()
        return bool(parts) and all(parts[kind]["ok"] and parts[kind]["age"] < 10 for kind in ALL)

    def no_pool_process_is_stopped(self) -> bool:
        with contextlib.suppress(psutil.Error, StopIteration):
            pool = self.instance.watched("worker").children()
            return len(pool) == 2 and all(each.status() != psutil.STATUS_STOPPED for each in pool)
        return False

    def restarts(self) -> int:
        return Path(self.instance.log.name).read_text(errors="replace").count("and is started again in")

    def assert_nothing_lost_or_doubled(self) -> None:
        with self.at_work:
            self._assert_nothing_lost_or_doubled()

    def _assert_nothing_lost_or_doubled(self) -> None:
        wait = self.instance.wait_for
        waiting = "SELECT count(*) FROM events_notification WHERE status <> 'Processed'"
        wait(lambda: self.instance.one(waiting) == 0, 90)
        stored = [str(one) for (one,) in self.instance.sql("SELECT event_id FROM events_event")]
        assert len(stored) == len(set(stored)) and set(self.events) <= set(stored)
        wait(lambda: self.instance.one("SELECT coalesce(sum(event_count), 0) FROM events_session") == len(stored), 60)
        delivered = self.instance.sql("SELECT own_text FROM chats_message WHERE own_text LIKE 'For %%'")
        texts = [text for (text,) in delivered]
        assert len(texts) == len(set(texts)) == len(set(self.notifications))
        unfinished = "SELECT count(*) FROM testrunner_testrun WHERE status IN ('queued', 'running')"
        wait(lambda: self.instance.one(unfinished) == 0, 60)
        twice = (
            "SELECT count(*) FROM testrunner_testrun one JOIN testrunner_testrun other"
            " ON one.environment_id = other.environment_id AND one.id < other.id"
            " AND one.started_at < other.finished_at AND other.started_at < one.finished_at"
        )
        assert self.instance.one(twice) == 0


def left(until: float) -> float:
    return max(0.1, until - time.monotonic())


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    with running_instance(tmp_path_factory.mktemp("all") / "home") as instance:
        instance.shell(MAKE_KEY + PEOPLE)
        instance.manage("create_fake_chats", "--total", "10", "-v0")
        house = House(instance)
        house.begin()
        yield house
        house.end()


def breakdown(house: House, name: str, number: signal.Signals) -> None:
    """Send a signal to a process, as soon as it exists."""
    for _ in range(300):
        with contextlib.suppress(psutil.Error, StopIteration, IndexError):
            process = house.instance.watched("worker" if name == "child" else name)
            if name == "child":
                process = random.choice(process.children())
            process.send_signal(number)
            return
        time.sleep(0.1)
    pytest.fail(f"There is no {name} process")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("names", [ALL, ("child",)], ids=["each", "child"])
def test_everything_works_again_within_45_seconds(house, names, number):
    took = []
    for round_number in range(ROUNDS):
        broken = random.sample(names, len(names))
        for name in broken:
            time.sleep(random.uniform(0, 1))
            breakdown(house, name, number)
        took.append(house.works_again(environment=1 + round_number % 20))
        print(f"{number.name} {', '.join(broken)}: works again after {took[-1]:.1f} s", flush=True)

    print(f"{number.name} of {'/'.join(names)}: {sorted(round(one, 1) for one in took)} s", flush=True)
    house.assert_nothing_lost_or_doubled()


def test_a_watchdog_that_is_killed_takes_its_process_along_and_both_are_started_again(house):
    for _ in range(ROUNDS):
        for watchdog in [house.instance.watchdog(name) for name in ALL]:
            watchdog.kill()
        took = house.works_again(environment=21)
        print(f"SIGKILL of the watchdogs: works again after {took:.1f} s", flush=True)

    house.assert_nothing_lost_or_doubled()


@pytest.mark.parametrize("away", ["postgres", "redis"])
def test_a_server_that_keeps_silent_for_a_minute_ends_no_process_for_good(house, away):
    for silence in [60.0, *(random.uniform(5, 60) for _ in range(ROUNDS - 1))]:
        before = house.restarts()
        server = house.instance.postgres if away == "postgres" else house.instance.valkey
        with frozen(server.find()):
            time.sleep(silence)
        took = house.works_again(environment=22)
        restarts = house.restarts() - before
        print(f"{away} silent for {silence:.0f} s: works again {took:.1f} s later, {restarts} restarts", flush=True)

    house.assert_nothing_lost_or_doubled()


def test_one_of_two_workers_that_is_stopped_is_named_and_started_again(house):
    for _ in range(ROUNDS):
        with second_worker(house) as second:
            (main,) = psutil.Process(second.pid).children()
            house.instance.wait_for(lambda main=main: f"/{main.pid}" in str(house.instance.health().get("worker")), 90)
            time.sleep(random.uniform(0, 5))

            main.suspend()
            stopped = time.monotonic()

            assert second.wait(RECOVERY) == -signal.SIGKILL  # the status that restart policies react to
            print(f"the second worker was ended after {time.monotonic() - stopped:.1f} s", flush=True)
            named = f"/{main.pid} was last heard of"
            house.instance.wait_for(lambda named=named: named in house.instance.health()["worker"]["detail"])
            assert not house.instance.health()["worker"]["ok"]


@contextlib.contextmanager
def second_worker(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """A worker under its own watchdog that is not restarted; a container's restart policy would do that."""
    argv = [
        "-m",
        "config.processes.watchdog",
        "worker",
        "-m",
        "celery",
        "-q",
        "-A",
        "config.celery",
        "worker",
        "-n",
        "second@%h",
    ]
    argv += ["-Q", "default,broadcasts,events", "-c", "1", "--without-gossip", "--without-mingle"]
    second = subprocess.Popen(
        [sys.executable, *argv, "--without-heartbeat"], cwd=PROJECT, env=house.instance.env,
        stdout=house.instance.log, stderr=house.instance.log, start_new_session=True,
    )  # fmt: skip
    try:
        house.instance.wait_for(lambda: bool(psutil.Process(second.pid).children()))
        yield second
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(second.pid, signal.SIGKILL)
        second.wait()
