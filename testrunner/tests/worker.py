"""Worker process for tests: runs files through the executor and prints its callbacks, one line of JSON each.

python -m testrunner.tests.worker ROOT MODE SECONDS FILE…

MODE is "best", or an index of testrunner.sandbox.isolation.MODES; SECONDS is the time limit.
With WORKER_LEASE, the run has a lease of that many seconds, which is renewed only with WORKER_RENEWS.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from testrunner.sandbox.executor import execute
from testrunner.sandbox.isolation import MIB, MODES, RunLimits, make_undumpable
from testrunner.sandbox.isolation_check import probe
from testrunner.sandbox.run_spec import RunSpec, TestBytes
from testrunner.sandbox.supervisor_client import SupervisorClient
from testrunner.tests.running import processes_of

LIMITS = RunLimits(
    grace_seconds=1,
    cpu_seconds=60,
    memory_bytes=1024 * MIB,
    disk_bytes=64 * MIB,
    processes=40,
)


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


supervisors: list[SupervisorClient] = []


def started(supervisor: SupervisorClient) -> None:
    supervisors.append(supervisor)
    say(started=supervisor.process.pid)


def renew() -> None:
    """Called by the executor several times a second."""
    if os.environ.get("WORKER_RENEWS"):
        supervisors[0].extend_lease(float(os.environ["WORKER_LEASE"]))


def main(root: Path, mode: str, seconds: str, *files: str) -> None:
    make_undumpable()
    # Shared pages count for each process, so a fork bomb within its process limit needs the larger memory limit.
    most = 512 * MIB if Path(files[0]).name.startswith("holds_") else LIMITS.total_memory_bytes
    spec = RunSpec(
        [TestBytes(Path(file).name, Path(file).read_bytes()) for file in files],
        root=root,
        run_name=f"run-{root.name}",
        limits=replace(LIMITS, wall_seconds=int(seconds), total_memory_bytes=most),
        lease_seconds=float(os.environ.get("WORKER_LEASE") or 0) or None,
        mode=probe(root) if mode == "best" else MODES[int(mode)],
    )
    finished = execute(
        spec,
        on_log=lambda chunk: say(log=chunk.decode()),
        on_result=lambda result: say(result=result.outcome),
        should_stop=renew,
        on_started=started,
    )
    left, alive = [str(path) for path in root.iterdir()], processes_of(f"run-{root.name}")
    say(outcome=finished.outcome, reason=finished.reason, left=left, alive=alive)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
