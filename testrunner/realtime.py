"""Live messages about test runs and environments, sent on commit. Their payloads are built here.

- `testrun.updated` on `testruns` and `testrun:<id>`: a run's current state and counts.
- `testrun.log` on `testrun:<id>`: the log now has `size` bytes, to be fetched with Range; a few messages a second at
  most.
- `environment.updated` on `environments`: an environment is free, busy, reserved or disabled, and how many runs wait.
  The positions of waiting runs may have changed, so a page that shows one fetches it again.
"""

from __future__ import annotations

import json
from typing import Any

from live.publish import publish, publish_many
from testrunner.clock import database_now

MAX_RESULTS_BYTES = 16 * 1024  # characters of JSON; clients that count results detect that some are missing

# Arguments are rows without types: the models and their callers import this module, and cyclic imports are avoided.


def run_updated(run: Any) -> None:
    """Publish the run's current values."""
    data = {
        "id": run.pk,
        "environment": run.environment_id,
        "requested_by": run.requested_by,
        "status": run.status,
        "reason": run.reason,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "cancel_requested_at": run.cancel_requested_at,
        **run.counts,
        "log_size": run.log_size,
    }
    publish_many((topic, "testrun.updated", data) for topic in ("testruns", f"testrun:{run.pk}"))


def run_progressed(run_id: int, *, size: int, tests: dict[str, int], results: list[dict[str, Any]]) -> None:
    """Publish the log size, the counts so far and the new results of a run to its watchers."""
    newest = _newest_that_fit(results)
    publish(f"testrun:{run_id}", "testrun.log", {"id": run_id, "size": size, **tests, "results": newest})


def _newest_that_fit(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    room, first = MAX_RESULTS_BYTES, len(results)
    while first and (room := room - len(json.dumps(results[first - 1]))) >= 0:
        first -= 1
    return results[first:]


def environment_updated(environment: Any) -> None:
    """Publish an environment's active run, the number of waiting runs, and its reservation."""
    active = environment.runs.running().values("pk", "requested_by", "started_at").first()
    data = {
        "id": environment.pk,
        "name": environment.name,
        "enabled": environment.enabled,
        "active": active and {**active, "id": active.pop("pk")},
        "queued": environment.runs.queued().count(),
        "reserved_by": environment.reserved_by.get_username() if environment.is_reserved(database_now()) else None,
        "reserved_from": environment.reserved_from,
        "reserved_until": environment.reserved_until,
    }
    publish("environments", "environment.updated", data)
