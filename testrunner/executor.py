"""One run of pytest, from bytes to a verdict: no models, no database, no settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from testrunner.results import Finished, TestResult
from testrunner.sandbox import Limits


@dataclass(frozen=True)
class TestBytes:
    """A file as it was when the run was asked for."""

    __test__: ClassVar[bool] = False  # not a test, whatever its name

    path: str  # relative to the run's directory, with "/": "smoke/test_login.py"
    content: bytes


def execute(
    files: Sequence[TestBytes],
    *,
    root: Path,
    run_name: str,
    environment: Mapping[str, str],
    on_log: Callable[[bytes], None],
    on_result: Callable[[TestResult], None],
    should_stop: Callable[[], str | None],
    on_started: Callable[[int], None] = lambda pid: None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> Finished:
    """Run pytest on these files in a fresh directory below `root`, and wait for its end.

    Blocks its thread for `wall_seconds + grace_seconds` and a second at most. All callbacks are called in the calling
    thread; an exception from one of them (or KeyboardInterrupt) ends the run's processes, removes its files and goes on
    to the caller. Several calls may run at once, in threads of one process and in several processes.

    - `run_name`: letters, digits, "-", "_", "."; unique among the runs alive on this machine: "run-17-3".
    - `environment`: variables for the tests. Names that steer Python, pytest, the loader or the sandbox are left out.
    - `on_log(chunk)`: valid UTF-8 without NUL, at least every 250 ms or 64 KiB while there is something; in all never
      more than `log_head + log_tail` and one line that says how much was left out. Head as it comes, tail at the end.
    - `on_result(result)`: every test once, as it ends; those that never ended come last, as errors.
    - `should_stop()`: called at least every 0.5 s. Words end the run with these as its reason: "cancelled by mara".
    - `on_started(pid)`: the process to look for on this machine; it leads a session and process group of its own.

    Never raises for what a test does. Raises ValueError for a path that leaves the directory, OSError if this machine
    cannot start a process or write below `root`.
    """
    raise NotImplementedError
