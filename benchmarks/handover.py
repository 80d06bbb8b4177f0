"""Hand-over: time from the end of a test run to the start of the next one in the same environment.

Real tests in a real runner as started by the launcher, with two slots and one queue. The measure is `started_at` of
each run minus `finished_at` of the previous one, by the database's clock.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import quantiles

from benchmarks.instance import command, process, sql, wait_until
from benchmarks.report import Figure, at_most, spread
from benchmarks.size import sized

RUNS = sized(60, 4)
FILE = b"def test_nothing():\n    pass\n"


def measure() -> list[Figure]:
    from django.core.cache import cache

    from config.processes.heartbeats import heartbeat_age

    cache.clear()
    with process("runner", command("runner")):
        wait_until(lambda: heartbeat_age("runner") is not None, "the runner lives")
        first = queue_runs(RUNS)
        wait_until(
            lambda: sql(f"SELECT count(*) FROM testrunner_testrun WHERE id >= {first} AND status = 'success'") == RUNS,
            "all have run",
            seconds=600,
        )
    took = handovers(first)
    p95 = quantiles(took, n=20)[-1]
    print(f"  {RUNS} runs one after the other: {spread(took, ' ms', 1)}, p95 {p95:.1f} ms")
    return [at_most("hand-over to the next run, p95", 100, [p95], " ms", 1)]


def queue_runs(number: int) -> int:
    """Queue `number` runs in environment 17. Return the id of the first."""
    from django.contrib.auth.models import User

    from testrunner.files.snapshot import Snapshot
    from testrunner.models import TestEnvironment
    from testrunner.services import start_run

    user, _ = User.objects.get_or_create(username="bench")
    file, environment = Snapshot("samples", "test_nothing.py", FILE), TestEnvironment.objects.get(pk=17)
    return min(start_run(user=user, environment=environment, files=[file]).pk for _ in range(number))


def handovers(first: int) -> list[float]:
    """Return the milliseconds between each run and the next."""
    from testrunner.models import TestRun

    runs = list(TestRun.objects.filter(pk__gte=first, environment=17).order_by("started_at"))
    return [
        (later.started_at - earlier.finished_at).total_seconds() * 1000
        for earlier, later in pairwise(runs)
        if later.started_at and earlier.finished_at
    ]
