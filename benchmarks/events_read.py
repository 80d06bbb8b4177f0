"""Reading events: at ten million rows, by session, by category and time range, and the dashboards, over HTTP.

One web process as the launcher starts it, one keep-alive connection, every request with a session, a type or a range
of its own, so that no page is read from the cache that the one before has filled. The events are those of
`create_fake_events`, over 30 days. BENCH_EVENTS=1000000 takes fewer of them. Times in ms, until the whole answer.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

from benchmarks.instance import free_port, sql, token, web
from benchmarks.report import Figure, at_most

EVENTS = int(os.environ.get("BENCH_EVENTS", "10000000"))
DAYS = 30
REQUESTS = 300  # of each list
CHARTS = 15  # of each dashboard
_TABLES = "events_event, events_session, events_minute, events_rejectedevent, events_batch"


def measure() -> list[Figure]:
    from django.utils import timezone

    from events.fake import create_fake_events
    from events.models import Session

    sql(f"TRUNCATE {_TABLES}")
    started = time.perf_counter()
    create_fake_events(EVENTS, DAYS)
    took = time.perf_counter() - started
    print(f"{EVENTS:,} events of {DAYS} days, created in {took:,.0f} s ({EVENTS / took:,.0f}/s)", flush=True)
    sql(f"VACUUM (ANALYZE) {_TABLES}", "CHECKPOINT")
    sessions = list(Session.objects.order_by("?").values_list("pk", flat=True)[:REQUESTS])
    until = timezone.now()

    def of_a_session() -> str:
        return f"/events/?{urlencode({'session': sessions.pop()})}"

    def of_a_category() -> str:
        start = until - timedelta(hours=random.uniform(12, DAYS * 24))
        category = random.choice(["page interaction", "shop", "form interaction", "app"])
        return f"/events/?{urlencode({'category': category, 'from': start, 'to': start + timedelta(hours=6)})}"

    def chart() -> str:
        by = random.choice(["category", "name", "application"])
        return f"/events/stats/?{urlencode({'from': until - timedelta(days=DAYS), 'interval': 'hour', 'by': by})}"

    os.environ["PORT"] = str(free_port())
    with web():
        ask = asker(token("analytics"))
        figures = [
            p95("events of a session, p95", ask, of_a_session, REQUESTS, 50),
            p95("events of a category in six hours, p95", ask, of_a_category, REQUESTS, 50),
            p95(f"chart over {DAYS} days, p95", ask, chart, CHARTS, 1_000),
            p95("groups of rejected events, p95", ask, lambda: "/rejected-events/groups/", CHARTS, 1_000),
        ]
    sql(f"TRUNCATE {_TABLES}")
    return figures


def asker(key: str) -> Callable[[str], float]:
    """Return what asks for an address and returns the ms until its whole answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=30)

    def ask(address: str) -> float:
        started = time.perf_counter()
        connection.request("GET", address, headers={"Authorization": f"Token {key}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        found = json.loads(body)
        assert found if isinstance(found, list) else found.get("results") or found.get("series"), address
        return (time.perf_counter() - started) * 1000

    for _ in range(3):
        ask("/applications/")  # warm up
    return ask


def p95(name: str, ask: Callable[[str], float], address: Callable[[], str], number: int, goal: float) -> Figure:
    times = sorted(ask(address()) for _ in range(number))
    print(f"  {name}: median {times[len(times) // 2]:.1f} ms, worst {times[-1]:.1f} ms", flush=True)
    return at_most(name, goal, [times[int(len(times) * 0.95)]], " ms", digits=1)
