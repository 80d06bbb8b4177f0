"""The ingest with a durable Postgres: 202 means committed, with key check, schema validation and duplicate detection.

Single events are sent on 32 connections. Their peers are a DRF ModelViewSet with the ORM under gunicorn (one process,
ten threads), and a no-op URL of the same uvicorn. Batches of 500 are sent on four connections. Their peer is one COPY
of the same rows into the same table. For single events the server has a core of its own (benchmarks/cores.py). For
batches, which are limited by Postgres, all processes share all cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.cores import load_and_postgres_on_the_others, on_the_first
from benchmarks.instance import command, free_port, python, sql, web
from benchmarks.load import ID, Load, run
from benchmarks.report import Figure, at_least, at_most, ratios, spread
from benchmarks.size import sized

ROUNDS = sized(3, 1)
SECONDS = sized(5.0, 0.5)
BATCH = 500
KEY = "wk_benchmark"
COPIED = sized(100_000, 2_000)  # rows
OURS, NOTHING, DRF, BATCHES, COPY = "single", "no-op", "DRF", "batches", "COPY"
Results = dict[str, list[Load]]


def measure() -> list[Figure]:
    set_up()
    results: Results = defaultdict(list)
    copied: list[float] = []
    for number in range(ROUNDS):
        for part in (singles, peer, batches) if number % 2 == 0 else (batches, peer, singles):
            part(results)
        copied.append(copy())
    show(results, copied)
    return figures(results, copied)


def set_up() -> None:
    """Create one application with a key, and types with a schema like those of real events."""
    from events.models import Application, EventType, WriteKey

    empty()
    sql("TRUNCATE events_application, events_eventtype CASCADE")
    application = Application.objects.create(name="Benchmark", rate=0)
    WriteKey.objects.create(
        application=application, prefix=KEY[:8], key_hash=hashlib.sha256(KEY.encode()).hexdigest()
    )  # fmt: skip
    text = {"type": "string", "maxLength": 200}
    schema = {"type": "object", "required": ["host", "path"], "properties": {"host": text, "path": text}}
    for name in ("pageview", "cta click"):
        EventType.objects.create(category="page interaction", name=name, schema=schema)


def empty() -> None:
    sql("TRUNCATE events_event, events_batch, events_rejectedevent CASCADE", "CHECKPOINT")


def event() -> dict[str, Any]:
    return {
        "event_id": ID.decode(),
        "session_id": str(uuid4()),
        "category": "page interaction",
        "name": random.choice(["pageview", "cta click"]),
        "data": {"host": "www.example.com", "path": f"/articles/{random.randrange(1000)}", "element": "chat bubble"},
        "timestamp": (datetime.now(UTC) - timedelta(seconds=random.random() * 60)).isoformat(),
    }


def singles(results: Results) -> None:
    body = json.dumps(event()).encode()
    empty()
    with load_and_postgres_on_the_others(), ours(on_the_first()):
        load(NOTHING, results, "/nothing/", body)
        load(OURS, results, "/events/", body)
    check(results[OURS][-1].answers)


def batches(results: Results) -> None:
    empty()
    with ours():
        load(BATCHES, results, "/events/", json.dumps([event() for _ in range(BATCH)]).encode(), connections=4)
    check(results[BATCHES][-1].answers * BATCH)


def peer(results: Results) -> None:
    subprocess.run(python("-m", "benchmarks.ingest_drf"), check=True)
    os.environ["PORT"] = str(free_port())
    threads = ["--worker-class", "gthread", "--workers", "1", "--threads", "10", "--keep-alive", "60"]
    bind = ["--bind", f"127.0.0.1:{os.environ['PORT']}", "--log-level", "warning"]
    argv = [*on_the_first(), *python("-m", "gunicorn", "benchmarks.ingest_drf:application", *bind, *threads)]
    with load_and_postgres_on_the_others(), web("drf", argv):
        load(DRF, results, "/peer-events/", json.dumps(event() | {"application_id": 1}).encode(), wanted=201)


def ours(before: Sequence[str] = ()) -> Any:
    os.environ["PORT"] = str(free_port())
    argv = [
        "benchmarks.ingest_asgi:application" if part == "config.asgi:application" else part for part in command("web")
    ]
    return web("ingest", [*before, *argv])


def load(name: str, results: Results, path: str, body: bytes, *, wanted: int = 202, connections: int = 32) -> None:
    port, key = int(os.environ["PORT"]), f"Bearer {KEY}"
    run(port, path, authorization=key, body=body, wanted=wanted, connections=connections, seconds=1)  # warm up
    found = run(port, path, authorization=key, body=body, wanted=wanted, connections=connections, seconds=SECONDS)
    results[name].append(found)


def check(answered: int) -> None:
    """Check that every acknowledged event is stored, including those of the warm-up."""
    stored = sql("SELECT count(*) FROM events_event")
    assert stored >= answered, f"{answered} were acknowledged, {stored} are there"


def copy() -> float:
    """Return the rows per second of one COPY into the events' own table."""
    from django.db import connection

    empty()
    application = sql("SELECT id FROM events_application")
    rows = StringIO("".join(line(number, application) for number in range(COPIED)))
    with connection.cursor() as cursor:
        started = time.perf_counter()
        cursor.copy_expert(
            "COPY events_event (id, application_id, event_id, session_id, category, name, data, timestamp) FROM STDIN",
            rows,
        )
        return COPIED / (time.perf_counter() - started)


def line(number: int, application: int) -> str:
    one = event()
    texts = f"{one['session_id']}\t{one['category']}\t{one['name']}\t{json.dumps(one['data'])}\t{one['timestamp']}"
    return f"{number}\t{application}\t{uuid4()}\t{texts}\n"


def show(results: Results, copied: list[float]) -> None:
    for name, loads in results.items():
        events = BATCH if name == BATCHES else 1
        print(
            f"  {name:8} {spread([load.per_second * events for load in loads], ' events/s', 0)},"
            f" p50 {median(load.p50 for load in loads):.1f} ms, p99 {median(load.p99 for load in loads):.1f} ms,"
            f" other answers {sum(load.errors for load in loads)}"
        )
    print(f"  {COPY:8} {spread(copied, ' rows/s', 0)}")


def figures(results: Results, copied: list[float]) -> list[Figure]:
    rates = {name: [load.per_second for load in loads] for name, loads in results.items()}
    batched = [rate * BATCH for rate in rates[BATCHES]]
    return [
        at_least("single events / DRF ModelViewSet under gunicorn", 6, ratios(rates[OURS], rates[DRF])),
        at_least("single events / the same server's no-op", 0.3, ratios(rates[OURS], rates[NOTHING])),
        at_most("single events, 32 connections, p99", 50, [load.p99 for load in results[OURS]], " ms", 1),
        at_least("events in batches of 500 / COPY", 0.5, ratios(batched, copied)),
        at_least("events in batches of 500", 40_000, batched, "/s"),
    ]
