"""Serving: config/asgi.py (Django as WSGI in ten threads inside uvicorn), compared to two common ways to serve Django.

The peers are Django's own ASGI handler under the same uvicorn, the usual way to serve Django with WebSockets, and
gunicorn with ten threads, a pure WSGI server without WebSockets, which is the upper limit. Each has one process and 32
keep-alive connections. There are two views: a trivial one, and a list of 50 rows with a token and the database. Figures
are successful requests per second; times are in ms. It also counts each server's connections to Postgres right after
the load, because each one costs memory and Postgres allows 150 here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from statistics import median

from benchmarks.audience import clear
from benchmarks.instance import command, python, sql, token, web
from benchmarks.load import Load, run
from benchmarks.report import Figure, at_least, at_most, ratios, spread
from benchmarks.size import sized
from config.tests.ports import free_port

ROUNDS = sized(3, 1)
SECONDS = sized(4.0, 0.5)
OURS, ASGI, WSGI = "opsroom", "django-asgi", "gunicorn"
VIEWS = {"a trivial view": ("/", 302), "a list of 50": ("/chats/", 200)}  # not /ping/, which does not need Django
Results = dict[tuple[str, str], list[Load]]


def measure() -> list[Figure]:
    from chats.demo.fake import create_fake_chats

    clear()
    create_fake_chats(sized(10_000, 1_000))
    key = token()
    results: Results = defaultdict(list)
    connections: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        for server in (OURS, ASGI, WSGI) if number % 2 == 0 else (WSGI, ASGI, OURS):
            os.environ["PORT"] = str(free_port())
            with web(server, argv(server)):
                for view, (path, wanted) in VIEWS.items():
                    for seconds in (0.5, SECONDS):  # the first is a warm-up
                        load = run(
                            int(os.environ["PORT"]), path, authorization=f"Token {key}", seconds=seconds, wanted=wanted
                        )
                    results[server, view].append(load)
                connections[server].append(opened(server))
    show(results, connections)
    return figures(results, connections)


def argv(server: str) -> list[str]:
    """Return the command of this server, listening at $PORT. Ours is the launcher's."""
    ours = command("web")
    if server == OURS:
        return ours
    if server == ASGI:
        ours[ours.index("--lifespan") + 1] = "off"  # Django's handler does not support lifespan
        return ["benchmarks.django_asgi:application" if part == "config.asgi:application" else part for part in ours]
    bind = f"127.0.0.1:{os.environ['PORT']}"
    threads = ["--worker-class", "gthread", "--workers", "1", "--threads", "10", "--keep-alive", "60"]
    return python("-m", "gunicorn", "config.wsgi:application", "--bind", bind, *threads, "--log-level", "warning")


def opened(server: str) -> int:
    """Return the number of the server's Postgres connections.

    The connection that runs the query may have the same name and is not counted.
    """
    own = f"application_name = '{server}' AND pid <> pg_backend_pid()"
    return int(sql(f"SELECT count(*) FROM pg_stat_activity WHERE {own}"))


def show(results: Results, connections: dict[str, list[float]]) -> None:
    for (server, view), loads in sorted(results.items(), key=lambda item: item[0][1]):
        print(
            f"  {view:15} {server:12} {spread([load.per_second for load in loads], ' requests/s', 0)},"
            f" p50 {median(load.p50 for load in loads):.1f} ms, p99 {median(load.p99 for load in loads):.1f} ms,"
            f" errors {sum(load.errors for load in loads)},"
            f" Postgres connections {max(connections[server]):.0f}"
        )


def figures(results: Results, connections: dict[str, list[float]]) -> list[Figure]:
    def rate(server: str, view: str) -> list[float]:
        return [load.per_second for load in results[server, view]]

    found = []
    for view in VIEWS:
        ours = rate(OURS, view)
        found += [at_least(f"serving {view} / Django's own ASGI handler", 1.5, ratios(ours, rate(ASGI, view)))]
        found += [at_least(f"serving {view} / gunicorn, 10 threads", GOALS[view], ratios(ours, rate(WSGI, view)))]
    return [*found, at_most("serving: connections to Postgres", 10, connections[OURS], "", 0)]


# Fractions of a pure WSGI server's rate: the cost of one port for WebSockets, ingest and Django. It is highest for a
# view that does nothing.
GOALS = {"a trivial view": 0.2, "a list of 50": 0.5}
