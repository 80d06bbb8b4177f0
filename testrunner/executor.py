"""One run of pytest, from bytes to a verdict: no models, no database, no settings.

    execute ── Log (capture.py), Report (results.py) ◄── pipes ◄── pytest in its walls (sandbox.py)
       └────── Guard (guard.py) ◄── control socket ──► launch.py, the process that outlives everybody

1. pytest's log, report and JUnit XML come through pipes. Nothing that a test wrote to a file is ever opened by the
   worker, so no link and no swapped directory can make it read or write anything else.
2. One loop reads the pipes without blocking, and never waits for their end: a grandchild may hold them open for ever.
3. Whatever ends the loop (pytest's end, time, a wish, an exception of a callback), the guard goes last, after it has
   killed everybody else; only then what is left in the pipes is read, and the verdict made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import selectors
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath
from typing import ClassVar

from testrunner.capture import Log
from testrunner.guard import Guard, make_directory, plan, probe
from testrunner.junit import junit_xml
from testrunner.results import Finished, Outcome, Report, TestResult
from testrunner.sandbox import MARK, Limits, Mode, python, size, sweep, user_for_a_run, uses_more_than
from testrunner.verdict import verdict

DISK_TICK = 1.0  # seconds between two looks at what the run has written, where nothing bounds it
TICK = 0.25  # seconds between two looks at the clock, the wish to stop, and what waits to be passed on
PIECE = 64 * 2**10


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
    selection: Sequence[str] = (),
    hidden: Sequence[Path] = (),
    mode: Mode | None = None,
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
    - `selection`: the ids of the tests to run, as `TestResult.nodeid` has them; all tests of the files if empty.
    - `hidden`: directories and files that the tests must not see, where there are namespaces: the project, its data.
    - `mode`: the walls; by default the best that this machine allows.
    - `on_started(pid)`: the process to look for on this machine; it leads a session and process group of its own.

    Never raises for what a test does. Raises ValueError for a path that leaves the directory, OSError if this machine
    cannot start a process or write below `root`.
    """
    started = time.monotonic()
    for file in files:
        check_path(file.path)
    mode = mode or probe(root)
    log = Log(on_log, head=limits.log_head, tail=limits.log_tail)
    report = Report(on_result, most_bytes=limits.report_bytes, most_results=limits.results)
    junit = Bounded(limits.junit_bytes)
    with (
        contextlib.ExitStack() as stack,
        user_for_a_run(mode) as user,
        fresh_directory(root, run_name, mode, user) as directory,
    ):
        pipes = {
            name: stack.enter_context(Pipe(user if mode.change_user else None)) for name in ("log", "report", "junit")
        }
        descriptors = [pipes["report"].theirs, pipes["junit"].theirs]
        what = plan(
            mode,
            user=user,
            directory=directory,
            command=command(selection or tests_of(files), *descriptors),
            environment=environment_of_run(environment, directory, run_name),
            limits=limits,
            files=[(file.path, file.content) for file in files],
            hidden=hidden,
        )
        guard = Guard(what, output=pipes["log"].theirs, descriptors=descriptors)
        readers = {pipes["log"].ours: log.write, pipes["report"].ours: report.write, pipes["junit"].ours: junit.write}
        try:
            for pipe in pipes.values():
                pipe.close_theirs()
            on_started(guard.process.pid)
            watched = None if mode.namespaces else directory
            stopped = Watch(guard, readers, log, limits, should_stop, started, watched).run()
        finally:
            guard.close()
            if not mode.namespaces:
                sweep(run_name)
        drain(readers)
    log.close()
    report.close()
    failed_to_start = guard.messages.get("failed", "")
    exit_code = None if failed_to_start else guard.messages.get("exit")
    outcome, reason = stopped or verdict(
        report, exit_code, failed_to_start=failed_to_start, cpu_seconds=limits.cpu_seconds
    )
    return Finished(
        outcome=outcome,
        reason=reason,
        exit_code=exit_code,
        results=report.results,
        junit_xml=junit_xml(junit.content, report.results, reason=reason),
        sandbox=f"{mode.words}; {limits.in_words()}",
        log_bytes=log.bytes,
        log_dropped=log.dropped,
        seconds=time.monotonic() - started,
    )


class Watch:
    """The loop from pytest's start to its end."""

    def __init__(
        self,
        guard: Guard,
        readers: Mapping[int, Callable[[bytes], None]],
        log: Log,
        limits: Limits,
        should_stop: Callable[[], str | None],
        started: float,
        directory: Path | None,
    ) -> None:
        self.guard, self.log, self.limits, self.should_stop, self.started = guard, log, limits, should_stop, started
        self.selector = selectors.DefaultSelector()
        self.selector.register(guard.control, selectors.EVENT_READ, None)
        for descriptor, reader in readers.items():
            self.selector.register(descriptor, selectors.EVENT_READ, reader)
        self.directory, self.next_measure = directory, 0.0
        self.stopped: tuple[Outcome, str] | None = None
        self.steps: list[tuple[float, Callable[[], None]]] = []  # what is still to do to those who do not stop

    def run(self) -> tuple[Outcome, str] | None:
        """Return once the guard is through: what the run was stopped for, or None if it ended by itself."""
        with self.selector:
            next_look = 0.0
            while self.read(max(0.0, next_look - time.monotonic())):
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + TICK
                    self.log.flush()
                    if not self.look():
                        return self.stopped
            return self.stopped

    def read(self, patience: float) -> bool:
        """Pass on what has come; return False once the guard says no more."""
        for key, _ in self.selector.select(patience):
            if key.data is None:
                if not self.guard.listen():
                    return False
            elif not (piece := read_piece(key.fd)):
                self.selector.unregister(key.fd)
            else:
                key.data(piece)
        return True

    def look(self) -> bool:
        """Stop the run if it is time; return False if even its guard does not go."""
        if self.stopped is None:
            if wish := self.should_stop():
                self.stop(Outcome.CANCELLED, wish)
            elif time.monotonic() - self.started > self.limits.wall_seconds:
                self.stop(Outcome.TIMED_OUT, f"Not finished after {self.limits.wall_seconds:g} s.")
            elif self.too_much_written():
                most = f"{size(self.limits.disk_bytes)} or {self.limits.files:,} files"
                self.stop(Outcome.ERROR, f"More than {most} were written.")
        while self.steps and time.monotonic() >= self.steps[0][0]:
            _, step = self.steps.pop(0)
            step()
        return not self.stopped or bool(self.steps)

    def too_much_written(self) -> bool:
        if self.directory is None or time.monotonic() < self.next_measure:
            return False
        self.next_measure = time.monotonic() + DISK_TICK
        return uses_more_than(self.directory, self.limits)

    def stop(self, outcome: Outcome, reason: str) -> None:
        """Interrupt pytest, so that fixtures tidy up and the log says where it was; then less and less kindly."""
        self.stopped = outcome, reason
        now, grace = time.monotonic(), self.limits.grace_seconds
        self.guard.order(b"I")
        self.steps = [
            (now + grace / 2, lambda: self.guard.order(b"T")),
            (now + grace, self.guard.kill),
            (now + grace + 2, lambda: None),  # the caller kills the guard itself
        ]


class Pipe:
    """A pipe from the run to the worker. The run may open its end anew by name (/dev/fd/7), so it has to own it."""

    def __init__(self, owner: int | None) -> None:
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.theirs, fcntl.F_SETPIPE_SZ, 2**18)
        if owner is not None:
            os.fchown(self.theirs, owner, owner)

    def close_theirs(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        os.close(self.ours)


class Bounded:
    """Bytes up to a limit, and none of them beyond it."""

    def __init__(self, most: int) -> None:
        self._most, self._content = most, bytearray()
        self.too_much = False

    def write(self, piece: bytes) -> None:
        self.too_much = self.too_much or len(self._content) + len(piece) > self._most
        if self.too_much:
            self._content.clear()
        else:
            self._content += piece

    @property
    def content(self) -> bytes | None:
        return None if self.too_much else bytes(self._content)


def read_piece(descriptor: int) -> bytes:
    """Return what is there; nothing at the end."""
    try:
        return os.read(descriptor, PIECE)
    except BlockingIOError:
        return b""


def drain(readers: Mapping[int, Callable[[bytes], None]]) -> None:
    """Read what is left in the pipes. Nobody should write any more; a survivor of the weakest mode gets one second."""
    until = time.monotonic() + 1
    for descriptor, reader in readers.items():
        while (piece := read_piece(descriptor)) and time.monotonic() < until:
            reader(piece)


@contextlib.contextmanager
def fresh_directory(root: Path, name: str, mode: Mode, user: int) -> Iterator[Path]:
    directory = make_directory(root, name, mode, user)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # the guard did, unless it was killed


def check_path(path: str) -> None:
    """Raise ValueError unless this is a plain relative path. What is only unusual fails in the run, with words."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        raise ValueError(f"Not a path below the run's directory: {path!r}")


def tests_of(files: Sequence[TestBytes]) -> list[str]:
    """Return the paths in which pytest is to look for tests."""
    return [file.path for file in files if PurePosixPath(file.path).name not in ("conftest.py", "__init__.py")]


def command(wanted: Sequence[str], report: int, junit: int) -> list[str]:
    """Return the command line: no configuration, no plugins and no files but those of the run.

    -u because -I makes Python deaf to PYTHONUNBUFFERED; -s so that the log shows what a test prints while it runs.
    """
    options = "-c /dev/null --rootdir . --confcutdir . -p no:cacheprovider -p pytest_reportlog.plugin"
    more = f"--import-mode=importlib --color=yes -v -s --junitxml=/dev/fd/{junit}"
    program = (resources("testrunner") / "inside.py").read_text()
    return [
        python(),
        "-I",
        "-B",
        "-u",
        "-c",
        program,
        str(report),
        *options.split(),
        *more.split(),
        "--",
        *(f"./{name}" for name in wanted),
    ]


# Names that steer Python, pytest, the loader or the sandbox: a variable of an environment must not.
RESERVED = re.compile(
    r"^(PYTHON.*|PYTEST_.*|LD_.*|DYLD_.*|OPSROOM_.*|PATH|HOME|TMPDIR|TEMP|TMP|USER|LOGNAME|LANG|LC_ALL|COLUMNS)$|=|\0|^$"
)


def environment_of_run(given: Mapping[str, str], directory: Path, run_name: str) -> dict[str, str]:
    """Return all variables of the run: nothing of the worker's own but its time zone."""
    return {
        **{name: value for name, value in given.items() if not RESERVED.search(name) and "\0" not in value},
        "PATH": f"{os.path.dirname(python())}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{directory}/home",
        "TMPDIR": f"{directory}/tmp",  # noqa: S108
        "USER": "tester",
        "LOGNAME": "tester",
        "LANG": "C.UTF-8",
        "TZ": os.environ.get("TZ", "UTC"),
        "COLUMNS": "120",
        "MALLOC_ARENA_MAX": "2",  # the limit of memory is one of addresses, and every thread's arena takes 64 MiB
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        MARK: run_name,
    }
