"""Killing of many processes at once, and work as another user."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from testrunner.sandbox.linux.system_calls import LINUX


def descendants(of: int) -> list[int]:
    """Return all living descendants of this process. A process is alive as long as one of its threads is."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if LINUX else []:
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] != b"Z" or int(fields[17]) > 1:  # the state shown is that of the first thread only
                    children.setdefault(int(fields[1]), []).append(int(name))
    found, open_ends = [], [of]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        found += below
        open_ends += below
    return found


def send_all(processes: Iterable[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def freeze_and_kill(find: Callable[[], Iterable[int]], pause: float) -> None:
    """Kill all processes that `find` returns, and wait a moment for them to exit.

    They are stopped first: a stopped process cannot fork while others are being found.
    """
    frozen: set[int] = set()
    while new := set(find()) - frozen:
        send_all(new, signal.SIGSTOP)
        frozen |= new
    send_all(frozen, signal.SIGKILL)
    time.sleep(pause)


def become(user: int) -> None:
    """Change this process to the user and the group of this number, for good. Needs root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def run_as(user: int, act: Callable[[], object]) -> None:
    """Run `act` in a child process of this user (as is, without root), and wait for it. Its errors are ignored."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                become(user)
            act()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
