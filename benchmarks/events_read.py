"""Reading of events over HTTP, with ten million rows: by session, by category and time range, and the dashboards.

The dashboards are the statistics and groups of the REST API and these admin pages: the front page, the explorer (of a
day and of all time), the rejected groups and the applications.

One web process as started by the launcher, and one keep-alive connection. Every request has its own session, type or
range, so that no page is served from a cache filled by the previous request. The events come from `create_fake_events`,
over 30 days. BENCH_EVENTS=1000000 creates fewer. Times are in ms, until the response is complete.
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

from benchmarks.instance import cookie, sql, token, web
from benchmarks.report import Figure, at_most
from benchmarks.size import sized

EVENTS = int(os.environ.get("BENCH_EVENTS", sized(10_000_000, 20_000)))
DAYS = 30
REQUESTS = sized(300, 10)  # per list
CHARTS = sized(15, 3)  # per dashboard
PAGES = {
    "the front page": "/admin/",
    "the explorer": "/admin/events/event/",
    "the explorer of all time": "/admin/events/event/?range=all",
    "the page of rejected groups": "/admin/events/rejectedevent/",
    "the page of applications": "/admin/events/application/",
}
_TABLES = "events_event, events_session, events_minute, events_rejectedevent, events_batch"


def measure() -> list[Figure]:
    from django.utils import timezone

    from events.demo.fake import create_fake_events
    from events.models import Session

    sql(f"TRUNCATE {_TABLES} CASCADE")
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

    with web():
        ask = asker(token("analytics"))
        figures = [
            p95("events of a session, p95", ask, of_a_session, REQUESTS, 50),
            p95("events of a category in six hours, p95", ask, of_a_category, REQUESTS, 50),
            p95(f"chart over {DAYS} days, p95", ask, chart, CHARTS, 1_000),
            p95("groups of rejected events, p95", ask, lambda: "/rejected-events/groups/", CHARTS, 1_000),
        ]
        see = viewer(cookie())  # only now: the server closes connections idle for five seconds
        figures += [p95(f"{name}, p95", see, always(path), CHARTS, 1_000) for name, path in PAGES.items()]
    sql(f"TRUNCATE {_TABLES} CASCADE")
    return figures


def always(address: str) -> Callable[[], str]:
    return lambda: address


def asker(key: str) -> Callable[[str], float]:
    """Return a function that requests a path and returns the ms until the response is complete."""
    ask = timed({"Authorization": f"Token {key}"})

    def found(address: str) -> float:
        took, body = ask(address)
        answer = json.loads(body)
        assert answer if isinstance(answer, list) else answer.get("results") or answer.get("series"), address
        return took

    for _ in range(3):
        found("/applications/")  # warm up
    return found


def viewer(session: dict[str, str]) -> Callable[[str], float]:
    """Return a function that loads an admin page and returns the ms until it is complete."""
    ask = timed({"Cookie": f"{session['name']}={session['value']}"})
    for path in PAGES.values():
        ask(path)  # compiles the templates
    return lambda path: ask(path)[0]


def timed(headers: dict[str, str]) -> Callable[[str], tuple[float, bytes]]:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=60)

    def ask(address: str) -> tuple[float, bytes]:
        started = time.perf_counter()
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (address, answer.status, body[:500])
        return (time.perf_counter() - started) * 1000, body

    return ask


def p95(name: str, ask: Callable[[str], float], address: Callable[[], str], number: int, goal: float) -> Figure:
    times = sorted(ask(address()) for _ in range(number))
    print(f"  {name}: median {times[len(times) // 2]:.1f} ms, worst {times[-1]:.1f} ms", flush=True)
    return at_most(name, goal, [times[int(len(times) * 0.95)]], " ms", digits=1)
