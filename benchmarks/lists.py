"""Lists: the cached first page of projects and of tasks, over HTTP, against the same page uncached, and against no-op.

One web process as the launcher starts it, 32 keep-alive connections, 50 rows a page of some thousands; the caller is
a planner with a token, not a superuser, so that their rights have to be asked for. Uncached is the same process with
a Redis that is away: the list cache is bypassed, and every answer takes the whole view, its queries and its rendering
(and no time for Redis at all, which makes the peer quicker than a cache that misses). The no-op is the server's own
a redirect, through the same middleware. In requests/s of good answers; times in ms. Turns alternate.
"""

from __future__ import annotations

import os
from collections import defaultdict
from statistics import median

from benchmarks.instance import free_port, sql, token, web
from benchmarks.load import Load, run
from benchmarks.report import Figure, at_least, ratios, spread
from benchmarks.size import sized

ROUNDS = sized(5, 1)
SECONDS = sized(4.0, 0.5)
PROJECTS, TASKS = sized(2_000, 100), 10  # tasks a project
CACHED, UNCACHED = "cached", "uncached"
NO_OP = "/"  # a redirect; not /ping/, which does not pass Django
VIEWS = {"project list": "/projects/", "task list": "/tasks/"}
NOBODY = "redis://127.0.0.1:1/0"  # a port at which connections are refused
Results = dict[tuple[str, str], list[Load]]


def measure() -> list[Figure]:
    from projects.demo.fake import create_fake_projects
    from projects.models import Project

    Project.objects.all().delete()  # TRUNCATE … CASCADE would take the test environments along
    create_fake_projects(PROJECTS, TASKS)
    sql("VACUUM (ANALYZE) projects_project, projects_task", "CHECKPOINT")
    key = token("planning")
    print(f"{PROJECTS:,} projects, {PROJECTS * TASKS:,} tasks, {ROUNDS} rounds of {SECONDS:g} s a view")
    results: Results = defaultdict(list)
    for number in range(ROUNDS):
        for server in (CACHED, UNCACHED) if number % 2 == 0 else (UNCACHED, CACHED):
            load_all(server, key, results)
    show(results)
    return figures(results)


def load_all(server: str, key: str, results: Results) -> None:
    os.environ["PORT"] = str(free_port())
    with web(server, REDIS_URL=os.environ["REDIS_URL"] if server == CACHED else NOBODY):
        for path in (*VIEWS.values(), NO_OP):
            for seconds in (0.5, SECONDS):  # the first is a warm-up
                load = run(
                    int(os.environ["PORT"]), path, authorization=f"Token {key}", seconds=seconds,
                    wanted=302 if path == NO_OP else 200,
                )  # fmt: skip
            assert load.errors == 0, f"{load.errors} wrong answers from {path}, {server}"
            results[server, path].append(load)


def show(results: Results) -> None:
    for (server, path), loads in sorted(results.items(), key=lambda item: item[0][1]):
        print(
            f"  {path:11} {server:9} {spread([load.per_second for load in loads], ' requests/s', 0)},"
            f" p50 {median(load.p50 for load in loads):.1f} ms, p95 {median(load.p95 for load in loads):.1f} ms"
        )


def figures(results: Results) -> list[Figure]:
    def rate(server: str, path: str) -> list[float]:
        return [load.per_second for load in results[server, path]]

    found = []
    for name, path in VIEWS.items():
        ours = rate(CACHED, path)
        found += [at_least(f"cached {name} / uncached", 8, ratios(ours, rate(UNCACHED, path)))]
        found += [at_least(f"cached {name} / no-op", 0.3, ratios(ours, rate(CACHED, NO_OP)))]
    return found
