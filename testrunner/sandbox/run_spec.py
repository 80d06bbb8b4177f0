"""What a run executes, and how. Nothing here refers to the database or the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from testrunner.sandbox.isolation import PLAIN, Mode, RunLimits


@dataclass(frozen=True)
class TestBytes:
    """A file as it was when the run was requested."""

    __test__: ClassVar[bool] = False  # pytest must not collect this class

    path: str  # relative to the run's directory, with "/": "smoke/test_login.py"
    content: bytes
    comes_along: bool = False  # a support file beside a test; pytest does not search it for tests


@dataclass(frozen=True)
class RunSpec:
    """One run of pytest: its files, what the tests see, and the limits and isolation they run under."""

    files: Sequence[TestBytes]
    root: Path  # the run gets a fresh directory below it
    run_name: str  # letters, digits, "-", "_", "."; unique among the runs alive on this machine: "run-17-3"
    # Variables for the tests. Names that configure Python, pytest, the loader or the sandbox are left out.
    environment: Mapping[str, str] = field(default_factory=dict)
    selection: Sequence[str] = ()  # the ids of the tests to run, as in `TestOutcome.nodeid`; empty: all of the files
    secrets: Sequence[str] = ()  # values that are redacted in everything that the run reports (redaction.py)
    limits: RunLimits = field(default_factory=RunLimits)
    # Seconds after which the run ends unless its lease is renewed (SupervisorClient.extend_lease). None: no lease.
    lease_seconds: float | None = None
    mode: Mode | None = None  # the isolation mode; by default the strongest that this machine allows
    min_mode: Mode = PLAIN  # the weakest mode that is accepted; otherwise the run ends as an error without a start
    # Directories and files that the tests must not see, such as the project and its data. Needs namespaces.
    hidden: Sequence[Path] = ()
    # Opsroom's own directory. Files whose path begins with "project/" are its own tests. They run in that directory, on
    # services of their own (pytest_command.py), and cannot share a run with other files.
    project: Path | None = None
