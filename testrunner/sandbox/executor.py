"""Execution of one run of pytest, from the bytes of its files to a verdict. Uses no models, no database, no settings.

    execute ── Log (log_capture.py), Report (results/report.py) ◄── pipes ◄── pytest in its walls (isolation.py)
       └────── Guard (supervisor_client.py) ◄── control socket ──► supervisor_process.py, which exits last

1. pytest's log, report and JUnit XML come through pipes. The worker never opens a file that a test wrote, so no link
   and no swapped directory can make it read or write anything else.
2. One loop reads the pipes without blocking. It does not wait for end of file, because a grandchild may hold a pipe
   open indefinitely.
3. The loop ends with pytest, at the timeout, on a request to stop, or with an exception of a callback. In all cases the
   guard first kills all other processes and exits last. Only then the rest of the pipes is read and the verdict made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from testrunner.sandbox.disk_usage import Written
from testrunner.sandbox.isolation import PLAIN, Mode, RunLimits, size, sweep, user_for_a_run
from testrunner.sandbox.isolation_check import NoWalls, probe
from testrunner.sandbox.log_capture import Log
from testrunner.sandbox.pipes import Bounded, Pipe, drain
from testrunner.sandbox.pytest_command import TestBytes, cannot_run, check_path, invocation, prefix_of
from testrunner.sandbox.redaction import Mask
from testrunner.sandbox.results.junit import junit_xml
from testrunner.sandbox.results.outcome import Finished, Outcome, TestOutcome
from testrunner.sandbox.results.report import ReportReader
from testrunner.sandbox.results.verdict import verdict
from testrunner.sandbox.run_loop import RunLoop
from testrunner.sandbox.supervisor_client import Guard, kill_everything_of, make_directory, plan
from testrunner.sandbox.walls.leftovers import remove_directory

__all__ = ["TestBytes", "execute"]


def execute(
    files: Sequence[TestBytes],
    *,
    root: Path,
    run_name: str,
    environment: Mapping[str, str],
    on_log: Callable[[bytes], None],
    on_result: Callable[[TestOutcome], None],
    should_stop: Callable[[], str | None],
    on_started: Callable[[Guard], None] = lambda guard: None,
    limits: RunLimits = RunLimits(),  # noqa: B008 - immutable
    selection: Sequence[str] = (),
    secrets: Sequence[str] = (),
    hidden: Sequence[Path] = (),
    mode: Mode | None = None,
    least: Mode = PLAIN,
    project: Path | None = None,
) -> Finished:
    """Run pytest on these files in a fresh directory below `root`, and wait for its end.

    Blocks the calling thread for at most `wall_seconds + grace_seconds` and a second. All callbacks are called in this
    thread. An exception from one of them (or KeyboardInterrupt) ends the run's processes, removes its files and is
    raised to the caller. Several calls may run concurrently, in threads of one process and in several processes.

    - `run_name`: letters, digits, "-", "_", "."; unique among the runs alive on this machine: "run-17-3".
    - `environment`: variables for the tests. Names that configure Python, pytest, the loader or the sandbox are left
      out.
    - `on_log(chunk)`: valid UTF-8 without NUL, at least every 250 ms or 64 KiB while there is output. In total at most
      `log_head + log_tail` bytes and one line that states how much was left out. The head comes live, the tail at the
      end.
    - `on_result(result)`: each test when it ends, and again if it is rerun. Tests that never ended come last, as
      errors. A file that cannot be collected, or is skipped as a whole, is also a result.
    - `should_stop()`: called at least every 0.5 s. A returned text ends the run with that reason: "cancelled by mara".
    - `selection`: the ids of the tests to run, as in `TestOutcome.nodeid`; all tests of the files if empty.
    - `secrets`: values that are redacted in the log, the report and the results (redaction.py). The JUnit XML may be
      pytest's own, so the caller has to redact it.
    - `hidden`: directories and files that the tests must not see, such as the project and its data. Needs namespaces.
    - `mode`: the isolation mode; by default the strongest that this machine allows.
    - `least`: the weakest mode that is accepted. If it is not available, the run is not started and ends as an error.
    - `project`: Opsroom's own directory. Files whose path begins with "project/" are its own tests. They run in that
      directory, on services of their own (pytest_command.py), and cannot share a run with other files.
    - `on_started(guard)`: the guard process. If the caller's claim on the run can be lost, `guard.extend_lease` says
      for how long the run may continue without another call. It may be called from another thread.

    Never raises because of what a test does. Raises ValueError for a path that leaves the directory, and OSError if
    this machine cannot start a process or write below `root`.
    """
    started = time.monotonic()
    for file in files:
        check_path(file.path)
    if fault := cannot_run(files, project):
        return not_started(fault)
    try:
        mode = mode or probe(root, least)
    except NoWalls as refusal:
        return not_started(str(refusal))
    log = Log(on_log, head=limits.log_head, tail=limits.log_tail, mask=Mask(secrets))
    report = ReportReader(
        on_result,
        most_bytes=limits.report_bytes,
        most_results=limits.results,
        prefix=prefix_of(files, project),
        mask=Mask(secrets),
    )
    junit = Bounded(limits.junit_bytes)
    with (
        contextlib.ExitStack() as stack,
        user_for_a_run(mode) as user,
        fresh_directory(root, run_name, mode, user) as directory,
    ):
        owner = user if mode.change_user else None
        pipes = {name: stack.enter_context(Pipe(owner)) for name in ("log", "report", "junit")}
        descriptors = [pipes["report"].theirs, pipes["junit"].theirs]
        how = invocation(files, selection, environment, directory, run_name, project, own_temporary(mode))
        what = plan(
            mode,
            user=user,
            directory=directory,
            command=how.on(*descriptors),
            environment=how.environment,
            limits=limits,
            files=how.files,
            working_directory=how.working_directory,
            kept=how.kept,
            hidden=hidden,
        )
        written = None if mode.namespaces else Written(directory, mode, user)
        guard = Guard(what, output=pipes["log"].theirs, descriptors=descriptors)
        readers = {pipes["log"].ours: log.write, pipes["report"].ours: report.write, pipes["junit"].ours: junit.write}
        try:
            for pipe in pipes.values():
                pipe.close_theirs()
            on_started(guard)
            stopped = RunLoop(guard, readers, log, limits, should_stop, started, written).run()
        finally:
            guard.close()
            if written is not None:
                sweep_up(run_name, mode, user)
                written.clean_up()
        drain(readers)
    log.close()
    report.close()
    failed_to_start = guard.messages.get("failed", "")
    exit_code = None if failed_to_start else guard.messages.get("exit")
    if (
        stopped
        and stopped[0] is not Outcome.ERROR
        and exit_code is not None
        and not guard.messages.get("stopped", True)
    ):
        stopped = None  # the stop came when pytest had just ended by itself
    if "ended" in guard.messages:
        stopped = Outcome.ERROR, _exceeded(guard.messages["ended"], limits)
    outcome, reason = stopped or verdict(
        report, exit_code, failed_to_start=failed_to_start, cpu_seconds=limits.cpu_seconds
    )
    return Finished(
        outcome=outcome,
        reason=reason,
        exit_code=exit_code,
        results=report.results,
        # pytest's own report does not contain a test that never ended.
        junit_xml=junit_xml(None if report.running else junit.content, report.results, reason=reason),
        sandbox=f"{mode.words}; {limits.in_words()}",
        all_ran=stopped is None and report.is_whole,
        log_bytes=log.bytes,
        log_dropped=log.dropped,
        seconds=time.monotonic() - started,
    )


def _exceeded(what: str, limits: RunLimits) -> str:
    if what == "memory":
        return f"The run's processes occupied more than {size(limits.total_memory_bytes)} of memory together."
    if what == "disk":
        return f"The run's deleted files occupied more than {size(limits.disk_bytes)}."
    return "What the run's processes hold could not be measured, so they were ended."


def sweep_up(run_name: str, mode: Mode, user: int) -> None:
    """Kill the run's remaining processes where the kernel does not. Needed only if the guard was killed itself."""
    if mode.change_user:
        kill_everything_of(user)  # root without CAP_SYS_PTRACE cannot read the marks that sweep() finds
    sweep(run_name)


def own_temporary(mode: Mode) -> str:
    """Return /tmp if each run has its own (build_walls), because sockets need a short path; empty if it is shared."""
    place = Path("/tmp")  # noqa: S108
    return str(place) if mode.namespaces and place.is_dir() and not place.is_symlink() else ""


def not_started(reason: str) -> Finished:
    return Finished(Outcome.ERROR, reason, None, junit_xml=junit_xml(None, [], reason=reason))


@contextlib.contextmanager
def fresh_directory(root: Path, name: str, mode: Mode, user: int) -> Iterator[Path]:
    directory = make_directory(root, name, mode, user)
    try:
        yield directory
    finally:
        remove_directory(str(directory))  # the guard has removed it, unless it was killed
