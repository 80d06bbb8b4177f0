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


class IsolationUnavailable(Exception):
    """No acceptable isolation mode was found. The text is a sentence for users."""


class UnclearTrial(Exception):
    """A trial without a clear result. The text says why."""


_probe_lock = threading.Lock()
_refusals: dict[tuple[str, Mode], str] = {}  # results of trials: why a mode was refused; empty: it works


def probe(root: Path, min_mode: Mode = PLAIN) -> Mode:
    """Return the strongest mode in which this machine runs pytest below `root`. Modes are tried at first use, then
    cached.

    Raises IsolationUnavailable if that mode is weaker than `min_mode`, or if the trial of a stronger one had no clear
    result.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _probe_lock:
        for mode in MODES[: MODES.index(min_mode) + 1]:
            key = str(root), mode
            try:
                if key not in _refusals:
                    _refusals[key] = try_mode(mode, root)
            except UnclearTrial as problem:
                raise IsolationUnavailable(
                    f"It could not be determined whether this machine allows the isolation {mode.name!r}"
                    f" ({problem}), and no weaker one is used instead. Start the run again."
                ) from problem
            if not _refusals[key]:
                return mode
    raise IsolationUnavailable(
        f"This machine does not allow the isolation {min_mode.name!r}, the least that TESTRUN_MIN_ISOLATION accepts:"
        f" {_refusals[str(root), min_mode]}."
    )


def try_mode(mode: Mode, root: Path) -> str:
    """Run a small program in this mode. Return why it was refused; empty if it works. Raises UnclearTrial."""
    obstacle = _obstacle(mode, root)
    if obstacle or mode == PLAIN:  # the plain mode needs nothing that could be refused
        return obstacle
    try:
        with exclusive_user(mode) as user, tempfile.TemporaryFile() as output:
            directory = make_directory(root, "trial", mode, user)
            try:
                return _refusal(_run(mode, user, directory, output.fileno()))
            finally:
                remove_directory(str(directory))
    except OSError as error:
        # In some containers root may not change the owner of files. That is permanent, so the mode counts as refused.
        if isinstance(error, PermissionError) and mode.change_user and not mode.namespaces:
            return f"{type(error).__name__}: {error}"
        raise UnclearTrial(f"{type(error).__name__}: {error}") from error


def _obstacle(mode: Mode, root: Path) -> str:
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


def _refusal(supervisor: SupervisorClient) -> str:
    messages = supervisor.messages
    if messages.get("exit") == 0:
        return ""
    if "failed" in messages and _is_refusal(messages.get("errno")):
        return str(messages["failed"])
    if "exit" in messages:
        raise UnclearTrial(f"the program of the trial ended with exit code {messages['exit']}")
    raise UnclearTrial(messages.get("failed", f"the trial did not end within {TRIAL_SECONDS:g} s"))


def _is_refusal(number: int | None) -> bool:
    if number == errno.ENOSPC:
        return any(_is_zero(limit) for limit in NO_NAMESPACES)
    return number in REFUSALS


def _is_zero(limit: str) -> bool:
    try:
        return Path(limit).read_text().strip() == "0"
    except OSError:
        return False
