"""Lists over HTTP from a real instance: fifty writers, fifty readers, and a Redis that stops answering."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from redis import Redis

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
WRITERS = READERS = 50
SECONDS = 30.0
SLOWEST = 10.0  # seconds that a response may take while Redis is silent, on a busy machine
KEY = "0123456789abcdef0123456789abcdef01234567"
SET_UP = f"""
from django.contrib.auth.models import User
from accounts.tokens import issue_token
from projects import services
issue_token(user=User.objects.create_superuser("root"), key="{KEY}")
project = services.create_project(name="Launch")
for _ in range({WRITERS}):
    services.create_task(project=project, title="0")
"""
TASKS = f"/tasks/?ordering=id&page_size={WRITERS}"


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    folder: Path = tmp_path_factory.mktemp("lists")
    with running_instance(folder / "home") as instance:
        instance.shell(SET_UP)
        instance.start_web()
        yield instance


class People:
    """Threads that write and read. `written[i]` is the last value of writer i that was confirmed by a response."""

    def __init__(self, instance: Instance) -> None:
        self.url = instance.url
        self.ids = [row[0] for row in instance.sql("SELECT id FROM projects_task ORDER BY id")]
        self.written = [int(row[0]) for row in instance.sql("SELECT title FROM projects_task ORDER BY id")]
        self.stale: list[tuple[int, int, int]] = []
        self.wrong: list[str] = []
        self.reads = self.slowest = 0.0
        self.over = threading.Event()

    def ask(self, session: requests.Session, method: str, path: str, **more: object) -> requests.Response | None:
        started = time.monotonic()
        answer = session.request(method, f"{self.url}{path}", timeout=60, **more)  # type: ignore[arg-type]
        self.slowest = max(self.slowest, time.monotonic() - started)
        if answer.status_code != 200:
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def write(self, session: requests.Session, slot: int) -> None:
        number = self.written[slot] + 1
        if self.ask(session, "PATCH", f"/tasks/{self.ids[slot]}/", json={"title": str(number)}):
            self.written[slot] = number

    def read(self, session: requests.Session) -> None:
        at_least = list(self.written)
        answer = self.ask(session, "GET", TASKS)
        if answer is None:
            return
        found = [int(row["title"]) for row in answer.json()["results"]]
        self.stale += [(slot, at_least[slot], found[slot]) for slot in range(WRITERS) if found[slot] < at_least[slot]]
        self.reads += 1

    def run(self, writers: int, readers: int, seconds: float) -> None:
        def writing(slot: int) -> None:
            with _session() as session:
                while not self.over.wait(random.uniform(0, 0.3)):  # pauses, in which lists are cache hits
                    self.write(session, slot)

        def reading() -> None:
            with _session() as session:
                while not self.over.is_set():
                    self.read(session)

        threads = [threading.Thread(target=writing, args=(slot,)) for slot in range(writers)]
        threads += [threading.Thread(target=reading) for _ in range(readers)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in threads:
            thread.join()


def _session() -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Token {KEY}"
    return session


def test_fifty_writers_and_fifty_readers_meet_no_old_list(instance: Instance):
    people = People(instance)

    people.run(WRITERS, READERS, SECONDS)

    assert people.wrong == []
    assert people.stale == []
    assert min(people.written) >= 1
    assert people.reads >= READERS
    assert [int(row[0]) for row in instance.sql("SELECT title FROM projects_task ORDER BY id")] == people.written


def paused(instance: Instance, seconds: float) -> None:
    with Redis.from_url(instance.valkey.url) as redis:
        redis.execute_command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
    time.sleep(seconds)


def stopped(instance: Instance, seconds: float) -> None:
    process = instance.valkey.find()
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("silence", [paused, stopped])
def test_a_silent_redis_makes_nothing_wrong_and_nothing_very_slow(instance: Instance, silence):
    people = People(instance)
    with _session() as session:
        people.read(session)  # caches a body that becomes stale

    silent = threading.Thread(target=silence, args=(instance, 8.0))
    silent.start()
    people.run(writers=2, readers=4, seconds=10)
    silent.join()

    assert people.wrong == []
    assert people.stale == []
    assert people.slowest < SLOWEST
    with _session() as session:
        for _ in range(3):
            people.read(session)
    assert people.stale == []
    assert people.written[0] >= 1
