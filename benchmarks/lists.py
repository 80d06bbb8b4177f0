"""Lists over HTTP: the cached first page of projects and tasks, compared to the uncached page and to a no-op.

One web process as started by the launcher, 32 keep-alive connections, 50 rows per page of some thousands. The caller is
a planner with a token, not a superuser, so that permissions have to be queried. Uncached is the same process with an
unreachable Redis: the list cache is bypassed, and every response needs the view, its queries and its rendering. It
spends no time on Redis, so this peer is faster than a cache miss. The no-op is a redirect of the same server, through
the same middleware. Figures are successful requests per second; times are in ms. The order alternates between rounds.
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
PROJECTS, TASKS = sized(2_000, 100), 10  # tasks per project
CACHED, UNCACHED = "cached", "uncached"
NO_OP = "/"  # a redirect; not /ping/, which bypasses Django
VIEWS = {"project list": "/projects/", "task list": "/tasks/"}
NOBODY = "redis://127.0.0.1:1/0"  # a port that refuses connections
Results = dict[tuple[str, str], list[Load]]


def measure() -> list[Figure]:
    from projects.demo.fake import create_fake_projects
    from projects.models import Project

    Project.objects.all().delete()  # TRUNCATE … CASCADE would also delete the test environments
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
