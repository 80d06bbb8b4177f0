"""Trials that find which isolation modes this machine allows: a small program is run in each of them.

A trial has one of three results. Only the first two are facts about the machine, and only these are cached:

- *works*: the program ran to its end in this mode.
- *refused*: the kernel refused a system call that the mode needs, or the mode does not exist for this user or system.
- *unknown*: anything else, for example a machine too busy to finish in time. The next run tries again.

An unknown mode is never replaced by a weaker one. Instead, the run that needed it ends as an error with an explanation.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from testrunner.sandbox.isolation import MODES, PLAIN, Mode, RunLimits, closed_directories, exclusive_user, python
from testrunner.sandbox.linux.leftovers import remove_directory
from testrunner.sandbox.pytest_command import Invocation
from testrunner.sandbox.supervisor_client import SupervisorClient, make_directory, plan

TRIAL_SECONDS = 30.0  # a trial takes 0.5 s on an idle machine
PROGRAM = "import pytest, tempfile; tempfile.TemporaryFile().close()"
# The kernel's error numbers for a feature that is forbidden or not built in. All others may be temporary.
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.EUSERS, errno.EOPNOTSUPP}
NO_NAMESPACES = (  # a limit of 0 is reported as ENOSPC, as is a limit that is exhausted at the moment
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_pid_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/user/max_ipc_namespaces",
)


class Result(Enum):
    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Trial:
    """The result of trying one mode; `why` is set if it did not work."""

    result: Result
    why: str = ""


class IsolationUnavailable(Exception):
    """No acceptable isolation mode was found. The text is a sentence for users."""


_probe_lock = threading.Lock()
_known: dict[tuple[str, Mode], Trial] = {}


def probe(root: Path, least: Mode = PLAIN) -> Mode:
    """Return the strongest mode in which this machine runs pytest below `root`. Modes are tried at first use, then
    cached.

    Raises IsolationUnavailable if that mode is weaker than `least`, or if the trial of a stronger one had no clear
    result.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _probe_lock:
        for mode in MODES[: MODES.index(least) + 1]:
            trial = _result_of(mode, root)
            if trial.result is Result.WORKS:
                return mode
            if trial.result is Result.UNKNOWN:
                raise IsolationUnavailable(
                    f"It could not be determined whether this machine allows the isolation {mode.name!r}"
                    f" ({trial.why}), and no weaker one is used instead. Start the run again."
                )
    raise IsolationUnavailable(
        f"This machine does not allow the isolation {least.name!r}, the least that TESTRUN_MIN_ISOLATION accepts:"
        f" {trial.why}."
    )


def _result_of(mode: Mode, root: Path) -> Trial:
    known = _known.get((str(root), mode))
    if known is None:
        known = attempt(mode, root)
        if known.result is not Result.UNKNOWN:
            _known[str(root), mode] = known
    return known


def attempt(mode: Mode, root: Path) -> Trial:
    """Run a small program in this mode."""
    if refusal := _cannot_be(mode, root):
        return Trial(Result.REFUSED, refusal)
    if mode == PLAIN:
        return Trial(Result.WORKS)  # it needs nothing that could be refused
    try:
        with exclusive_user(mode) as user, tempfile.TemporaryFile() as output:
            directory = make_directory(root, "trial", mode, user)
            try:
                return _judged(_run(mode, user, directory, output.fileno()))
            finally:
                remove_directory(str(directory))
    except OSError as error:
        # In some containers root may not change the owner of files. That is permanent, so the mode counts as refused.
        gives = isinstance(error, PermissionError) and mode.change_user and not mode.namespaces
        return Trial(Result.REFUSED if gives else Result.UNKNOWN, f"{type(error).__name__}: {error}")


def _cannot_be(mode: Mode, root: Path) -> str:
    """Return why this mode is impossible here, before asking the kernel; empty if it can be tried."""
    if mode == PLAIN:
        return ""
    if sys.platform != "linux":
        return "it needs Linux"
    if not mode.change_user:
        return ""
    if os.geteuid() != 0:
        return "it needs a worker that is root"
    if not mode.namespaces:
        for place in (python(), f"{sys.prefix}/lib", f"{sys.base_prefix}/lib", f"{root}/run"):
            for closed in closed_directories(Path(os.path.realpath(place))):
                return f"only its owner may enter {closed}"
    return ""


def _run(mode: Mode, user: int, directory: Path, output: int) -> SupervisorClient:
    program = Invocation([python(), "-I", "-B", "-c", PROGRAM])
    what = plan(program, mode, user=user, directory=directory, limits=RunLimits())
    supervisor = SupervisorClient(what, output=output, descriptors=[])
    try:
        supervisor.control.settimeout(TRIAL_SECONDS)
        while supervisor.listen():
            pass
    finally:
        supervisor.close()
    return supervisor


def _judged(supervisor: SupervisorClient) -> Trial:
    messages = supervisor.messages
    if messages.get("exit") == 0:
        return Trial(Result.WORKS)
    if "failed" in messages:
        return Trial(Result.REFUSED if _is_refusal(messages.get("errno")) else Result.UNKNOWN, messages["failed"])
    if "exit" in messages:
        return Trial(Result.UNKNOWN, f"the program of the trial ended with exit code {messages['exit']}")
    return Trial(Result.UNKNOWN, f"the trial did not end within {TRIAL_SECONDS:g} s")


def _is_refusal(number: int | None) -> bool:
    if number == errno.ENOSPC:
        return any(_is_zero(limit) for limit in NO_NAMESPACES)
    return number in REFUSALS


def _is_zero(limit: str) -> bool:
    try:
        return Path(limit).read_text().strip() == "0"
    except OSError:
        return False
