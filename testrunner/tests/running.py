"""Shared helper of the executor's tests: one call that runs text as a test and returns everything it reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from testrunner.sandbox.executor import execute
from testrunner.sandbox.isolation import RunLimits
from testrunner.sandbox.results.outcome import Finished, Outcome, Stop, TestOutcome
from testrunner.sandbox.run_spec import RunSpec, TestBytes

SAMPLES = Path(__file__).parents[2] / "sample_tests"
CORPUS = Path(__file__).parent / "corpus"
SHORT = RunLimits(wall_seconds=20, grace_seconds=2)


@dataclass
class Ran:
    """A finished run with everything that its callbacks received."""

    name: str
    log: bytes = b""
    told: list[TestOutcome] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def outcomes(self) -> dict[str, str]:
        return {result.nodeid.rpartition("::")[2]: result.outcome for result in self.finished.results}


def run(
    root: Path,
    *files: tuple[str, str | bytes] | Path,
    limits: RunLimits = SHORT,
    environment: Mapping[str, str] | None = None,
    should_stop: Callable[[Ran], str | None] = lambda ran: None,
    **more: Any,
) -> Ran:
    """Run these files (paths, or names with text) and return the result."""
    ran = Ran(name=f"run-{uuid4().hex[:12]}")
    contents = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
    spec = RunSpec(
        [TestBytes(path, text.encode() if isinstance(text, str) else text) for path, text in contents],
        root=root,
        run_name=ran.name,
        environment=environment or {},
        limits=limits,
        **more,
    )

    def stop() -> Stop | None:
        reason = should_stop(ran)
        return Stop(Outcome.CANCELLED, reason) if reason else None

    ran.finished = execute(
        spec,
        on_log=ran.chunks.append,
        on_result=ran.told.append,
        should_stop=stop,
        on_started=lambda supervisor: ran.pids.append(supervisor.process.pid),
    )
    ran.log = b"".join(ran.chunks)
    return ran


def processes_of(name: str) -> list[int]:
    """Return all processes of this machine that carry the mark of this run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"OPSROOM_RUN={name}".encode() in environ and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
