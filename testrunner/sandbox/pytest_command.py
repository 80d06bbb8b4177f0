"""How pytest is called: command line, variables, directory. For files from anywhere, and for the project's own tests.

The project's own tests are no strangers, but they run behind the same walls: the project is there to read, with its
pytest.ini and its plugins, and everything they need is started anew inside of the run. PostgreSQL and Redis from the
wheels of `make test` live in the run's own directory and end with it, so neither the instance's database nor its cache
nor its broker can be met. Where those wheels are not installed, pytest says so in the log, and the run is an error.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath
from typing import ClassVar

from testrunner.sandbox.isolation import MARK, python
from testrunner.sandbox.results.outcome import DETAILS

PROGRAM = (resources("testrunner.sandbox") / "pytest_entry.py").read_text()
OWN = "project/"  # before the paths and node ids of the project's own tests


@dataclass(frozen=True)
class TestBytes:
    """A file as it was when the run was asked for."""

    __test__: ClassVar[bool] = False  # not a test, whatever its name

    path: str  # relative to the run's directory, with "/": "smoke/test_login.py"
    content: bytes
    comes_along: bool = False  # it lies beside a test, and pytest does not look for tests in it


@dataclass(frozen=True)
class Invocation:
    """What the guard needs to know of a run besides its walls."""

    command: list[str]
    environment: dict[str, str]
    files: list[tuple[str, bytes]]  # to put down before the start
    working_directory: str
    kept: list[Path] = field(default_factory=list)  # to stay visible, though something above may be hidden

    def on(self, report: int, junit: int) -> list[str]:
        """Return the command line that writes its report and its JUnit XML to these descriptors."""
        before, after = self.command[: self.command.index(PROGRAM) + 1], self.command[self.command.index(PROGRAM) + 1 :]
        return [*before, str(report), str(junit), *after]


def cannot_run(files: Sequence[TestBytes], project: Path | None) -> str:
    """Return why these files cannot be run, in words; nothing if they can."""
    own = [file for file in files if file.path.startswith(OWN)]
    if project is None or not own:
        return ""
    if len(own) < len(files):
        return "The project's own tests need a run of their own: they cannot be together with other files."
    changed = [file.path for file in own if _bytes_below(project, file.path.removeprefix(OWN)) != file.content]
    return f"{changed[0]} has changed since it was chosen." if changed else ""


def prefix_of(files: Sequence[TestBytes], project: Path | None) -> str:
    """Return what stands before every node id that pytest tells of these files."""
    return OWN if project and any(file.path.startswith(OWN) for file in files) else ""


def invocation(
    files: Sequence[TestBytes],
    wanted: Sequence[str],
    given: Mapping[str, str],
    directory: Path,
    run_name: str,
    project: Path | None = None,
    temporary: str = "",
) -> Invocation:
    """Return how to run these files, which `cannot_run` has nothing against.

    `temporary` is the directory for temporary files; by default it is in the run's directory.
    """
    temporary = temporary or f"{directory}/tmp"  # noqa: S108
    environment = {**_environment(directory, run_name, temporary), **_allowed(given)}
    tests = list(wanted) or tests_of(files)
    if project and prefix_of(files, project):
        return _of_the_project(project, [name.removeprefix(OWN) for name in tests], environment, directory)
    return Invocation(
        command=_command(
            ["-c", "/dev/null", "--rootdir", ".", "--confcutdir", "."],
            [f"./{name}" for name in tests],
            directory,
            plugins=plugins_of(files),
            isolated=True,
        ),
        environment={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        files=[(file.path, file.content) for file in files],
        working_directory=f"{directory}/files",
    )


def _of_the_project(project: Path, tests: list[str], environment: dict[str, str], directory: Path) -> Invocation:
    own = {
        "OPSROOM_HOME": f"{directory}/home/opsroom",
        "OPSROOM_LOCAL": "1",
        "OPSROOM_KEEP_SERVERS": "0",  # an environment is busy as long as a process of its run is left
        "HYPOTHESIS_STORAGE_DIRECTORY": f"{directory}/home/hypothesis",  # the project is there to read only
    }
    return Invocation(
        command=_command(["-c", f"{project}/pytest.ini", "--rootdir", str(project)], tests, directory, isolated=False),
        environment={**environment, **own},
        files=[],
        working_directory=str(project),
        kept=[project],
    )


def _bytes_below(project: Path, path: str) -> bytes | None:
    """Return a regular file's content; None if it is no such file any more."""
    try:
        descriptor = os.open(project / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def check_path(path: str) -> None:
    """Raise ValueError unless this is a plain relative path. What is only unusual fails in the run, with words."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        raise ValueError(f"Not a path below the run's directory: {path!r}")


def tests_of(files: Sequence[TestBytes]) -> list[str]:
    """Return the paths in which pytest is to look for tests."""
    chosen = [file.path for file in files if not file.comes_along]
    return [path for path in chosen if PurePosixPath(path).name not in ("conftest.py", "__init__.py")]


# -s and log_cli: the log shows what a test prints and logs while it runs. Levels stay as bare pytest has them, since a
# test may look at what was logged. Assertion differences are shown up to the size of a result's details; without a
# limit, pytest takes minutes for large ones.
TRUNCATION = ["-o", "truncation_limit_lines=2000", "-o", f"truncation_limit_chars={DETAILS - 4096}"]
COMMON = ["--color=yes", "-v", "-s", "-o", "log_cli=true", *TRUNCATION]


def _command(
    options: Sequence[str], tests: Sequence[str], directory: Path, *, isolated: bool, plugins: Sequence[str] = ()
) -> list[str]:
    """Return the command line, without the descriptors of report and JUnit XML: see `Invocation.on`.

    -I: no configuration and no modules but those of the run. -u because -I makes Python deaf to PYTHONUNBUFFERED.
    """
    flags = ["-I"] if isolated else []
    places = ["-o", f"cache_dir={directory}/home/.pytest_cache"]
    load = [word for plugin in plugins for word in ("-p", plugin)]
    return [python(), *flags, "-B", "-u", "-c", PROGRAM, *options, *load, *COMMON, *places, "--", *tests]


def plugins_of(files: Sequence[TestBytes]) -> list[str]:
    """Return the installed plugins of pytest that these files name, such as asyncio or httpserver.

    To load all that are installed, as bare pytest does, may take seconds.
    """
    text = b"\n".join(file.content for file in files if file.path.endswith(".py"))
    return [plugin for plugin, named in _installed_plugins() if named.search(text)]


@cache
def _installed_plugins() -> list[tuple[str, re.Pattern[bytes]]]:
    """Return the name of each installed plugin, and where it is named: its package without "pytest-"."""
    found = []
    for plugin in entry_points(group="pytest11"):
        package = plugin.dist.name.lower() if plugin.dist else plugin.name
        words = {plugin.name, package.removeprefix("pytest-").replace("-", "_")}
        found.append((plugin.name, re.compile("|".join(rf"\b{re.escape(word)}" for word in words).encode())))
    return found


# Names that steer Python, pytest, the loader or the sandbox: a variable of an environment must not. Any other wins over
# what the runner sets. One list for this and for the variables that can be given (models/environment.py).
STEERING = r"PYTHON.*|PYTEST.*|LD_.*|DYLD_.*|OPSROOM.*|PATH|HOME|TMPDIR"
RESERVED = re.compile(rf"^({STEERING})$|=|\0|^$")


def _allowed(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that its tests may see."""
    return {name: value for name, value in given.items() if not RESERVED.search(name) and "\0" not in value}


def _environment(directory: Path, run_name: str, temporary: str) -> dict[str, str]:
    """Return what a run's environment holds without its variables: nothing of the worker's own but its time zone."""
    return {
        "PATH": f"{os.path.dirname(python())}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{directory}/home",
        "TMPDIR": temporary,
        "USER": "tester",
        "LOGNAME": "tester",
        "LANG": "C.UTF-8",
        "TZ": os.environ.get("TZ", "UTC"),
        "COLUMNS": "120",
        "MALLOC_ARENA_MAX": "2",  # the limit of memory is one of addresses, and every thread's arena takes 64 MiB
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        MARK: run_name,
    }
