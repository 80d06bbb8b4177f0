"""Execution of one run of pytest, from the bytes of its files to a verdict. Uses no models, no database, no settings.

    execute ── LogCapture (log_capture.py), Report (results/report.py) ◄── pipes ◄── pytest, isolated (isolation.py)
       └────── SupervisorClient (supervisor_client.py) ◄── control socket ──► supervisor_process.py, which exits last

1. pytest's log, report and JUnit XML come through pipes. The worker never opens a file that a test wrote, so no link
   and no swapped directory can make it read or write anything else.
2. One loop reads the pipes without blocking. It does not wait for end of file, because a grandchild may hold a pipe
   open indefinitely.
3. The loop ends with pytest, at the timeout, on a request to stop, or with an exception of a callback. In all cases the
   supervisor first kills all other processes and exits last. Only then the rest of the pipes is read and the verdict
   made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from testrunner.sandbox.disk_usage import DiskUsage
from testrunner.sandbox.isolation import Mode, exclusive_user, kill_marked
from testrunner.sandbox.isolation_check import IsolationUnavailable, probe
from testrunner.sandbox.linux.leftovers import remove_directory
from testrunner.sandbox.log_capture import LogCapture
from testrunner.sandbox.pipes import BoundedBuffer, Pipe, drain
from testrunner.sandbox.pytest_command import cannot_run, check_path, invocation, prefix_of
from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.junit import junit_xml
from testrunner.sandbox.results.outcome import Finished, Outcome, Stop, TestOutcome
from testrunner.sandbox.results.report import ReportReader
from testrunner.sandbox.results.verdict import stop_in_effect, verdict
from testrunner.sandbox.run_loop import RunLoop
from testrunner.sandbox.run_spec import RunSpec
from testrunner.sandbox.supervisor_client import SupervisorClient, kill_everything_of, make_directory, plan


def execute(
    spec: RunSpec,
    *,
    on_log: Callable[[bytes], None],
    on_result: Callable[[TestOutcome], None],
    should_stop: Callable[[], Stop | None],
    on_started: Callable[[SupervisorClient], None] = lambda supervisor: None,
) -> Finished:
    """Run pytest in a fresh directory, and wait for its end.

    Blocks the calling thread for at most `wall_seconds + grace_seconds` and a second. All callbacks are called in this
    thread. An exception from one of them (or KeyboardInterrupt) ends the run's processes, removes its files and is
    raised to the caller. Several calls may run concurrently, in threads of one process and in several processes.

    - `on_log(chunk)`: valid UTF-8 without NUL, at least every 250 ms or 64 KiB while there is output. In total at most
      `log_head + log_tail` bytes and one line that states how much was left out. The head comes live, the tail at the
      end.
    - `on_result(result)`: each test when it ends, and again if it is rerun. Tests that never ended come last, as
      errors. A file that cannot be collected, or is skipped as a whole, is also a result.
    - `should_stop()`: called at least every 0.5 s. A returned Stop ends the run.
    - `on_started(supervisor)`: the supervisor process. If the caller's claim on the run can be lost,
      `supervisor.extend_lease` says for how long the run may continue without another call. It may be called from
      another thread.

    Secrets are redacted in everything that the callbacks and the caller get.

    Never raises because of what a test does. Raises ValueError for a path that leaves the directory, and OSError if
    this machine cannot start a process or write below `root`.
    """
    started = time.monotonic()
    for file in spec.files:
        check_path(file.path)
    redactor, limits = Redactor(spec.secrets), spec.limits
    try:
        if fault := cannot_run(spec):
            return not_started(fault, redactor)
        mode = spec.mode or probe(spec.root, spec.min_mode)
    except IsolationUnavailable as refusal:
        return not_started(str(refusal), redactor)
    log = LogCapture(on_log, head=limits.log_head, tail=limits.log_tail, redactor=redactor)
    report = ReportReader(
        on_result,
        max_bytes=limits.report_bytes,
        max_results=limits.results,
        prefix=prefix_of(spec),
        redactor=redactor,
    )
    junit = BoundedBuffer(limits.junit_bytes)
    with (
        contextlib.ExitStack() as stack,
        exclusive_user(mode) as user,
        fresh_directory(spec, mode, user) as directory,
    ):
        owner = user if mode.change_user else None
        pipes = {name: stack.enter_context(Pipe(owner)) for name in ("log", "report", "junit")}
        descriptors = [pipes["report"].write_end, pipes["junit"].write_end]
        how = invocation(spec, directory, descriptors, own_temporary(mode))
        what = plan(
            how,
            mode,
            user=user,
            directory=directory,
            limits=limits,
            hidden=spec.hidden,
            lease_seconds=spec.lease_seconds,
        )
        disk_usage = None if mode.namespaces else DiskUsage(directory, mode, user)
        supervisor = SupervisorClient(what, output=pipes["log"].write_end, descriptors=descriptors)
        readers = {
            pipes["log"].read_end: log.write,
            pipes["report"].read_end: report.write,
            pipes["junit"].read_end: junit.write,
        }
        try:
            for pipe in pipes.values():
                pipe.close_write_end()
            on_started(supervisor)
            stop = RunLoop(supervisor, readers, log, limits, should_stop, started, disk_usage).run()
        finally:
            supervisor.close()
            if disk_usage is not None:
                kill_remaining(spec.run_name, mode, user)
                disk_usage.clean_up()
        drain(readers)
    log.close()
    report.close()
    failed_to_start = supervisor.messages.get("failed", "")
    exit_code = None if failed_to_start else supervisor.messages.get("exit")
    stop = stop_in_effect(stop, supervisor.messages, limits)
    outcome, reason = verdict(report, exit_code, stop=stop, limits=limits, failed_to_start=failed_to_start)
    reason = redactor.redact(reason)
    # pytest's own report does not contain a test that never ended.
    own_junit = None if report.running else junit.content
    return Finished(
        outcome=outcome,
        reason=reason,
        exit_code=exit_code,
        results=report.results,
        junit_xml=junit_xml(own_junit, report.results, reason=reason, redactor=redactor),
        sandbox=f"{mode.description}; {limits.description()}",
        all_ran=stop is None and report.is_whole,
        log_bytes=log.bytes,
        log_dropped=log.dropped,
        seconds=time.monotonic() - started,
    )


def kill_remaining(run_name: str, mode: Mode, user: int) -> None:
    """Kill the run's remaining processes where the kernel does not. Needed only if the supervisor was killed itself."""
    if mode.change_user:
        kill_everything_of(user)  # root without CAP_SYS_PTRACE cannot read the marks that kill_marked() finds
    kill_marked(run_name)


def own_temporary(mode: Mode) -> str:
    """Return /tmp if each run has its own (build_file_system), because sockets need a short path; empty if it is
    shared.
    """
    place = Path("/tmp")  # noqa: S108
    return str(place) if mode.namespaces and place.is_dir() and not place.is_symlink() else ""


def not_started(reason: str, redactor: Redactor) -> Finished:
    document = junit_xml(None, [], reason=reason, redactor=redactor)
    return Finished(Outcome.ERROR, redactor.redact(reason), None, junit_xml=document)


@contextlib.contextmanager
def fresh_directory(spec: RunSpec, mode: Mode, user: int) -> Iterator[Path]:
    directory = make_directory(spec.root, spec.run_name, mode, user)
    try:
        yield directory
    finally:
        remove_directory(str(directory))  # the supervisor has removed it, unless it was killed
