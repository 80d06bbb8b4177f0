"""Real web processes, killed, drowned and left without Postgres: what was acknowledged is there, once.

The clients write down what they were told; afterwards that is held against the store.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import psutil
import psycopg2
import pytest
import requests

from config.tests.instance import Instance, free_port, running_instance
from events.ingest.request_body import MAX_BODY_BYTES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
KEY = "wk_of-the-chaos"
MAKE_KEY = f"""
import hashlib
from events.models import Application, WriteKey
key = hashlib.sha256(b"{KEY}").hexdigest()
WriteKey.objects.create(application=Application.objects.create(name="Chaos", rate=0), prefix="wk_", key_hash=key)
"""
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
KILLS, CRASHES, CLIENTS, SECONDS = 16, 2, 8, 60


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("ingest"), LOG_LEVEL="ERROR") as instance:
        instance.shell(MAKE_KEY)
        yield instance


def event(**more: object) -> dict[str, object]:
    return {
        "event_id": str(uuid4()),
        "session_id": "s",
        "category": "c",
        "name": "n",
        "data": {},
        "timestamp": datetime.now(UTC).isoformat(),
    } | more


class Client(threading.Thread):
    """Sends events, some of them wrong, and each request again until it is answered; notes every answer."""

    def __init__(self, urls: list[str], until: threading.Event) -> None:
        super().__init__()
        self.urls, self.until = urls, until
        self.answers: Counter[object] = Counter()
        self.told: dict[str, str] = {}

    def run(self) -> None:
        with requests.Session() as session:
            while not self.until.is_set():
                batch = [event(name=random.choice(["n", "n", ""])) for _ in range(random.choice([1, 1, 5, 100]))]
                self.deliver(session, json.dumps(batch).encode())

    def deliver(self, session: requests.Session, body: bytes) -> None:
        while not self.until.is_set():
            try:
                answer = session.post(f"{random.choice(self.urls)}/events/", body, headers=HEADERS, timeout=20)
            except requests.RequestException:
                self.answers["broken"] += 1
                time.sleep(0.05)
                continue
            self.answers[answer.status_code] += 1
            if answer.status_code == 202:
                self.told |= {result["event_id"]: result["status"] for result in answer.json()["results"]}
                return
            assert int(answer.headers["Retry-After"]) > 0
            time.sleep(0.05)


def stored(instance: Instance, table: str) -> Counter[str]:
    return Counter(str(one) for (one,) in instance.sql(f"SELECT event_id FROM {table}"))


def test_what_was_acknowledged_survives_sixteen_kills_and_two_crashes(instance):
    webs = {f"web-{number}": free_port() for number in range(4)}
    for name, port in webs.items():
        instance.begin_web(name, port)
    over = threading.Event()
    clients = [Client([f"http://127.0.0.1:{port}" for port in webs.values()], over) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    until = time.monotonic() + SECONDS
    try:
        for number in range(KILLS):
            name = f"web-{number % len(webs)}"
            instance.wait_for(partial(instance.answers, webs[name]), 90)
            time.sleep(random.uniform(0.3, 1.5))
            instance.kill(name)
            instance.begin_web(name, webs[name])
            if number % (KILLS // CRASHES) == 3:
                instance.crash_postgres()
        time.sleep(max(0.0, until - time.monotonic()))
    finally:
        over.set()
        for client in clients:
            client.join()
        for name in webs:
            instance.kill(name)

    answers, told = Counter(), {}
    for client in clients:
        answers += client.answers
        told |= client.told
    events, rejected = stored(instance, "events_event"), stored(instance, "events_rejectedevent")
    print(f"\n{dict(answers)}, {len(told)} events acknowledged, {len(events)} and {len(rejected)} rejected stored")
    assert set(answers) <= {202, 503, "broken"}
    assert answers["broken"] and answers[202] > KILLS
    assert set(events.values()) | set(rejected.values()) == {1}
    assert not {one for one, status in told.items() if one not in (rejected if status == "rejected" else events)}
    assert not set(events) & set(rejected)
    counted = instance.sql("SELECT sum(events), sum(rejected) FROM events_batch")[0]
    assert counted == (len(events), len(rejected))


def test_a_stopping_server_answers_what_is_under_way(instance):
    instance.start_web()
    assert requests.post(f"{instance.url}/events/", json=event(), headers=HEADERS, timeout=20).status_code == 202
    answers = []
    sending = threading.Thread(
        target=lambda: answers.append(
            requests.post(f"{instance.url}/events/", json=event(name="last"), headers=HEADERS, timeout=20)
        )
    )

    blocker = psycopg2.connect(instance.dsn)
    blocker.cursor().execute("LOCK TABLE events_event")
    sending.start()
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ingest-_%%' AND wait_event_type = 'Lock'"
    )
    instance.wait_for(lambda: instance.one(waits) == 1)
    instance.processes["web"].send_signal(signal.SIGTERM)
    time.sleep(0.5)
    blocker.close()
    sending.join()
    instance.processes.pop("web").wait(20)

    assert answers[0].status_code == 202
    assert instance.one("SELECT count(*) FROM events_event WHERE name = 'last'") == 1


def test_a_frozen_postgres_is_503_for_everybody_and_202_when_it_goes_on(instance):
    instance.start_web()
    assert post(instance).status_code == 202
    answers: list[int] = []
    senders = [threading.Thread(target=lambda: answers.append(post(instance).status_code)) for _ in range(30)]

    with instance.frozen_postgres():
        for sender in senders:
            sender.start()
            time.sleep(0.1)  # some before, some after keys are no longer fresh
        for sender in senders:
            sender.join()
    instance.wait_for(lambda: post(instance).status_code == 202)
    instance.kill("web")

    assert Counter(answers) == {503: 30}


def post(instance: Instance) -> requests.Response:
    """Raises requests.Timeout where there is no answer within twelve seconds."""
    return requests.post(f"{instance.url}/events/", json=event(), headers=HEADERS, timeout=12)


def test_ten_times_too_much_leaves_memory_flat_and_loses_nothing(instance):
    instance.start_web()
    process = psutil.Process(instance.processes["web"].pid)
    before = instance.one("SELECT count(*) FROM events_event")

    answers, peaks = asyncio.run(overload(instance.port, process))
    instance.kill("web")

    print(f"\n{dict(answers)}, memory at its highest {[peak // 2**20 for peak in peaks]} MiB")
    assert {202, 429} <= set(answers) <= {202, 429, 503, "broken"}  # 429: one application has only its share
    assert instance.one("SELECT count(*) FROM events_event") - before >= answers[202] * 400
    assert peaks[1] < peaks[0] + 64 * 2**20


async def overload(port: int, process: psutil.Process) -> tuple[Counter[object], list[int]]:
    """Return the answers to 100 connections that never rest, and the most memory in each half of 20 seconds."""
    answers: Counter[object] = Counter()
    started = time.monotonic()
    peaks = [0, 0]
    pieces = json.dumps([event(event_id="ID", data={"text": "x" * 900}) for _ in range(400)]).encode().split(b"ID")
    length = sum(map(len, pieces)) + 36 * 400
    assert length < MAX_BODY_BYTES
    head = f"POST /events/ HTTP/1.1\r\nHost: x\r\nX-Write-Key: {KEY}\r\nContent-Length: {length}\r\n\r\n".encode()

    async def flood() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.monotonic() < started + 20:
                prefix = str(uuid4())[:-12].encode()
                ids = [prefix + b"%012x" % number for number in range(400)]
                parts = [part for pair in zip(pieces, ids, strict=False) for part in pair]
                writer.write(head + b"".join(parts) + pieces[-1])
                await writer.drain()
                top = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(top.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                answers[int(top.split()[1])] += 1
        except (ConnectionError, asyncio.IncompleteReadError):  # the server closed an idle connection
            answers["broken"] += 1
        finally:
            writer.close()

    async def watch() -> None:
        while (passed := time.monotonic() - started) < 20:
            half = int(passed >= 10)
            peaks[half] = max(peaks[half], process.memory_info().rss)
            await asyncio.sleep(0.1)

    await asyncio.gather(watch(), *(flood() for _ in range(100)))
    return answers, peaks
