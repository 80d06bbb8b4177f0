"""Supervisor that runs a few processes: prints their output side by side, restarts each one, stops all on a signal.

A process that ends is restarted after a pause that doubles with each early end (1 s to MAX_BACKOFF). After running for
SETTLED_SECONDS seconds the pause starts at one second again. The run ends only by a signal, or when the reader of the
output closes the pipe. Printing never waits for the reader (config/local/output.py), so signals are always handled.

It uses honcho's printer and colours, but not its manager, which forks a process beside each child that outlives a
kill -9 of its parent, and which never kills children that all hang.
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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from config.local.output import Output

STOP_TIMEOUT = 10.0  # seconds for a graceful stop; Celery finishes the current task
MIN_SECOND_SIGNAL_SECONDS = (
    0.5  # seconds; a SIGINT later than that after the first signal comes from a person who wants to stop now
)
MAX_BACKOFF = 30.0  # seconds
SETTLED_SECONDS = 15.0  # seconds; longer than a failing start takes
MAX_LINE_BYTES = 2**20  # bytes


@dataclass(frozen=True)
class ProcessCommand:
    """A process to run: its name in the output, its arguments, and additions to its environment."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs commands until SIGINT or SIGTERM, and leaves no process behind.

    If this process is killed with -9, the kernel sends its children SIGTERM (Linux, with util-linux).
    """

    def __init__(self, commands: list[ProcessCommand], *, cwd: Path) -> None:
        self.commands = commands
        self.cwd = cwd
        self.output: Output
        self.printer: Printer
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.stop_asked = asyncio.Event()
        self.first_asked = 0.0

    async def run(self, meanwhile: Callable[[Output], Coroutine[Any, Any, None]]) -> None:
        """Return when a signal ended the run. `meanwhile` runs beside the processes and is cancelled when they stop."""
        loop = asyncio.get_running_loop()
        self.output = Output(sys.stdout.fileno(), partial(loop.call_soon_threadsafe, self.stop_asked.set))
        self.printer = Printer(self.output, width=max(len(command.name) for command in self.commands))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask, number)
        colours = get_colours()
        keepers = [asyncio.create_task(self.keep(command, next(colours))) for command in self.commands]
        beside = asyncio.create_task(meanwhile(self.output))
        await self.stop_asked.wait()
        beside.cancel()
        await self.stop(keepers)
        await asyncio.gather(beside, *keepers, return_exceptions=True)
        self.output.finish()

    def ask(self, number: signal.Signals) -> None:
        """Stop gracefully on the first signal, kill on a later Ctrl-C. `make` forwards SIGTERM, so two may come."""
        if not self.stop_asked.is_set():
            self.first_asked = time.monotonic()
            self.stop_asked.set()
        elif number == signal.SIGINT and time.monotonic() - self.first_asked > MIN_SECOND_SIGNAL_SECONDS:
            self.signal_all(signal.SIGKILL)

    async def keep(self, command: ProcessCommand, colour: str) -> None:
        """Run a command, and restart it whenever it ends, until a stop is requested."""
        pause = 1.0
        while not self.stop_asked.is_set():
            started = time.monotonic()
            how = await self.run_once(command, colour)
            if self.stop_asked.is_set():
                return
            lived = time.monotonic() - started
            pause = 1.0 if lived >= SETTLED_SECONDS else pause
            self.output.say(
                f"The {command.name} process ended {how} after {lived:.0f} s and is started again in {pause:.0f} s."
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.stop_asked.wait()
            pause = min(2 * pause, MAX_BACKOFF)

    async def run_once(self, command: ProcessCommand, colour: str) -> str:
        """Start a command and print its lines until it ends; return how it ended, as text."""
        try:
            child = await asyncio.create_subprocess_exec(
                *dying_with_us(),
                *command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env=os.environ | command.env,
                start_new_session=True,  # a terminal's Ctrl-C reaches only this process, which stops the children
                limit=MAX_LINE_BYTES,
            )
        except OSError as error:
            return f"at its start ({error})"
        self.children[command.name] = child
        if self.stop_asked.is_set():
            child.terminate()
        reading = asyncio.create_task(self.print_lines(command.name, child, colour))
        # Not child.wait(): before Python 3.12 that also waits for the pipe, which orphaned grandchildren keep open.
        while child.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        signal_group(child.pid, signal.SIGKILL)  # kills remaining grandchildren, which also closes the pipe
        await reading
        return f"with status {child.returncode}" if child.returncode >= 0 else f"by signal {-child.returncode}"

    async def print_lines(self, name: str, child: asyncio.subprocess.Process, colour: str) -> None:
        assert child.stdout is not None  # noqa: S101  created with a pipe
        while True:
            try:
                line = await child.stdout.readline()
            except ValueError:  # a line above the limit is dropped
                continue
            if not line:
                return
            self.printer.write(Message(type="line", data=line, time=datetime.now(), name=name, colour=colour))

    async def stop(self, keepers: list[asyncio.Task[None]]) -> None:
        self.signal_all(signal.SIGTERM)
        _, hanging = await asyncio.wait(keepers, timeout=STOP_TIMEOUT)
        if hanging:
            self.signal_all(signal.SIGKILL)

    def signal_all(self, number: signal.Signals) -> None:
        """Send SIGTERM to the processes themselves, which stop their children, or SIGKILL to their whole groups."""
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
    """Return a command prefix that makes the kernel send SIGTERM when this process ends, however it ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or not sys.platform.startswith("linux"):
        return []
    known = subprocess.run([setpriv, "--help"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return [setpriv, "--pdeathsig", "TERM", "--"] if "--pdeathsig" in known else []
