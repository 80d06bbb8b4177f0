"""Run a few processes as one: their output side by side, all of them stopped when one ends or a signal comes.

honcho's printer and colours, but not its manager: that one forks a process beside each child, which outlives a kill -9
of its parent, and it never forces children that all hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from honcho.colour import get_colours
from honcho.printer import Message, Printer

PATIENCE = 10.0  # seconds for a warm stop; Celery finishes the task in hand
IMPATIENCE = 0.5  # seconds; a SIGINT later than that after the first signal is a person who wants out now
LONGEST_LINE = 2**20  # bytes


@dataclass(frozen=True)
class Command:
    """One process to run: its name in the output, its arguments, and what to add to its environment."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs commands until one ends or SIGINT or SIGTERM comes; leaves no process behind.

    If this process is killed with -9, the kernel sends its children SIGTERM (Linux, with util-linux).
    """

    def __init__(self, commands: list[Command], *, cwd: Path) -> None:
        self.commands = commands
        self.cwd = cwd
        self.printer = Printer(sys.stdout, width=max(len(command.name) for command in commands))
        self.colours = get_colours()
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.stop_asked = asyncio.Event()
        self.first_asked = 0.0

    async def run(self, meanwhile: Callable[[], Awaitable[None]]) -> str | None:
        """Return None when a signal ended the run, else a sentence on which process ended by itself.

        `meanwhile` runs beside the processes and is dropped when they stop.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.ask, number)
        pumps = [asyncio.create_task(self.pump(command, next(self.colours))) for command in self.commands]
        asked = asyncio.create_task(self.stop_asked.wait())
        beside = asyncio.create_task(self.until_told(meanwhile))
        await asyncio.wait([*pumps, asked], return_when=asyncio.FIRST_COMPLETED)
        ended = None if self.stop_asked.is_set() else self.first_ended()
        beside.cancel()
        await self.stop(pumps)
        await asyncio.gather(beside, *pumps, return_exceptions=True)
        asked.cancel()
        return ended

    async def until_told(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(BrokenPipeError):
            await meanwhile()

    def ask(self, number: signal.Signals) -> None:
        """A first signal stops warmly, a later Ctrl-C at once. `make` passes SIGTERM on, so that one may come twice."""
        if not self.stop_asked.is_set():
            self.first_asked = time.monotonic()
            self.stop_asked.set()
        elif number == signal.SIGINT and time.monotonic() - self.first_asked > IMPATIENCE:
            self.signal_all(signal.SIGKILL)

    async def pump(self, command: Command, colour: str) -> None:
        """Start a command and print its lines until it has ended."""
        child = await asyncio.create_subprocess_exec(
            *dying_with_us(),
            *command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.cwd,
            env=os.environ | command.env,
            start_new_session=True,  # a terminal's Ctrl-C reaches only us: we stop it, in our order
            limit=LONGEST_LINE,
        )
        self.children[command.name] = child
        if self.stop_asked.is_set():
            child.terminate()
        reading = asyncio.create_task(self.print_lines(command.name, child, colour))
        # Not child.wait(): before Python 3.12 that also waits for the pipe, which a process it left keeps open.
        while child.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        signal_group(child.pid, signal.SIGKILL)  # what it may have left; it also closes the pipe we read
        await reading

    async def print_lines(self, name: str, child: asyncio.subprocess.Process, colour: str) -> None:
        assert child.stdout is not None  # noqa: S101  it was asked for
        while True:
            try:
                line = await child.stdout.readline()
            except ValueError:  # longer than the limit, and dropped
                continue
            if not line:
                return
            message = Message(type="line", data=line, time=datetime.now(), name=name, colour=colour)
            try:
                self.printer.write(message)
            except BrokenPipeError:  # whoever read our output has gone, as `| head` does
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self.stop_asked.set()

    def first_ended(self) -> str:
        for name, child in self.children.items():
            if child.returncode is not None:
                how = f"with status {child.returncode}" if child.returncode >= 0 else f"by signal {-child.returncode}"
                return f"The {name} process ended by itself {how}, so everything was stopped."
        return "A process could not be started."

    async def stop(self, pumps: list[asyncio.Task[None]]) -> None:
        self.signal_all(signal.SIGTERM)
        _, hanging = await asyncio.wait(pumps, timeout=PATIENCE)
        if hanging:
            self.signal_all(signal.SIGKILL)

    def signal_all(self, number: signal.Signals) -> None:
        """SIGTERM to the processes themselves, which stop their own; SIGKILL to everything below them too."""
        for child in self.children.values():
            if child.returncode is None:
                if number == signal.SIGKILL:
                    signal_group(child.pid, number)
                else:
                    with contextlib.suppress(ProcessLookupError):
                        child.send_signal(number)


def signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def dying_with_us() -> list[str]:
    """What to put before a command so that it gets SIGTERM when this process is gone, however it went."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or not sys.platform.startswith("linux"):
        return []
    known = subprocess.run([setpriv, "--help"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return [setpriv, "--pdeathsig", "TERM", "--"] if "--pdeathsig" in known else []
