"""Effect of ten hostile senders on another one: single events of one application, alone and beside the worst bodies.

Each hostile sender has its own application, key and event type. It sends its body again as soon as it gets a response
(benchmarks/hostile_bodies.py). The other sender, the neighbour, sends events at a steady rate on several connections.
Each round compares its responses with and without the hostile senders.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from statistics import median

import psutil

from benchmarks.hostile_bodies import Hostile, senders
from benchmarks.ingest import KEY, event, set_up
from benchmarks.instance import free_port, sql, web
from benchmarks.load import Load, run
from benchmarks.report import Figure, at_most, ratios, spread
from benchmarks.size import sized

ROUNDS = sized(3, 1)
SECONDS = sized(10.0, 1.0)
CONNECTIONS = 8
PACE = sized(400.0, 50.0)  # the neighbour's events per second, on all connections
PATIENCE = 20.0  # seconds that a hostile sender waits for a response
MB = 1024 * 1024


def measure() -> list[Figure]:
    set_up()
    hostile = senders()
    describe(hostile)
    alone: list[Load] = []
    beside: list[Load] = []
    memory: list[float] = []
    answers: Counter[str] = Counter()
    for _ in range(ROUNDS):
        os.environ["PORT"] = str(free_port())
        with web("hostile") as process:
            neighbour(1.0)  # warm up
            alone.append(neighbour(SECONDS))
            before = grown(process.pid)
            with sending(hostile, answers):
                neighbour(SECONDS / 2)
                middle = grown(process.pid)
                beside.append(neighbour(SECONDS))
                after = grown(process.pid)
            memory.append((after - middle) / MB)
            print(
                f"  memory {before / MB:.0f} MiB before, {middle / MB:.0f} in the middle, {after / MB:.0f} at the end"
            )
    show(alone, beside, answers)
    return [
        at_most("neighbours' p99 beside ten hostile senders / alone", 2, ratios(p99(beside), p99(alone))),
        at_most("neighbours' p99 beside ten hostile senders", 50, p99(beside), " ms", 1),
        at_most("neighbours' answers that are not 202", 0, [float(load.errors) for load in beside], "", 0),
        at_most("memory that is taken in the second half", 64, memory, " MiB", 0),
    ]


def p99(loads: list[Load]) -> list[float]:
    return [load.p99 for load in loads]


def key_of(one: Hostile) -> str:
    return f"wk_{one.name}"


def describe(hostile: list[Hostile]) -> None:
    """Create an application without a rate limit, a key and an event type for each sender."""
    from events.models import Application, EventType, WriteKey
    from events.validation.schemas import compiled

    for one in hostile:
        compiled(one.schema)  # checks that the schema may be published
        application = Application.objects.create(name=f"Hostile: {one.name}", rate=0)
        name = hashlib.sha256(key_of(one).encode()).hexdigest()
        WriteKey.objects.create(application=application, prefix="wk_", key_hash=name)
        EventType.objects.create(category="hostile", name=one.name, schema=one.schema)
    sql("TRUNCATE events_rejectedday")


def neighbour(seconds: float) -> Load:
    body = json.dumps(event()).encode()
    return run(
        int(os.environ["PORT"]), "/events/", authorization=f"Bearer {KEY}", body=body, wanted=202,
        connections=CONNECTIONS, seconds=seconds, pace=PACE,
    )  # fmt: skip


@contextlib.contextmanager
def sending(hostile: list[Hostile], answers: Counter[str]) -> Iterator[None]:
    """Run all senders until the block ends."""
    ended = threading.Event()
    threads = [threading.Thread(target=send, args=(one, ended, answers), daemon=True) for one in hostile]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE)


def send(one: Hostile, ended: threading.Event, answers: Counter[str]) -> None:
    headers = {"Authorization": f"Bearer {key_of(one)}", "Content-Encoding": "gzip", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=PATIENCE)
    while not ended.is_set():
        try:
            connection.request("POST", "/events/", one.body, headers)
            answer = connection.getresponse()
            answer.read()
            answers[f"{one.name}: {answer.status}"] += 1
        except (OSError, http.client.HTTPException):
            answers[f"{one.name}: no answer"] += 1
            connection.close()


def grown(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def show(alone: list[Load], beside: list[Load], answers: Counter[str]) -> None:
    for name, loads in (("alone", alone), ("beside", beside)):
        print(
            f"  {name:7} {spread([load.per_second for load in loads], ' events/s', 0)},"
            f" p50 {median(load.p50 for load in loads):.1f} ms, p95 {median(load.p95 for load in loads):.1f} ms,"
            f" p99 {median(load.p99 for load in loads):.1f} ms, other answers {sum(load.errors for load in loads)}"
        )
    for name, number in sorted(answers.items()):
        print(f"  hostile {name}: {number}")
