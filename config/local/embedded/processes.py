"""Servers that outlive the process that started them, and how to find them again without mistaking a stranger."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from .home import PROJECT, EmbeddedError

STARTING = 60.0  # seconds; crash recovery after a kill -9 is part of it
STOPPING = 30.0  # seconds until a server that does not stop warmly is made to


class Server:
    """One embedded server: found again if it runs already, started if not, stopped by the last who uses it.

    A subclass says how to launch it, whether it answers, and where its process id is written down.
    """

    name: str
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, *, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.process: psutil.Process | None = None

    def launch(self) -> psutil.Process:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def written_pid(self) -> int | None:
        raise NotImplementedError

    def ensure(self) -> None:
        """Return when the server answers, having started it unless it runs. Raises EmbeddedError.

        The caller holds the gate, so nobody else starts or stops it meanwhile.
        """
        deadline = time.monotonic() + STARTING
        launches = 0
        while time.monotonic() < deadline:
            self.process = self.find()
            if self.answers():
                return
            if self.process is None:
                if launches == 3:
                    raise EmbeddedError(f"The embedded {self.name} does not start: {last_line(self.log)}")
                # The back ends of a killed server may need a moment to notice and let go of its memory.
                time.sleep(0.5 * launches)
                launches += 1
                self.process = self.launch()
            time.sleep(0.01)
        raise EmbeddedError(f"The embedded {self.name} did not answer within {STARTING:.0f} s: see {self.log}.")

    def find(self) -> psutil.Process | None:
        """The server's process if it runs: the one known already, else the one written down if it is ours."""
        if self.process is not None:
            if is_alive(self.process):
                return self.process
            reap(self.process)
        pid = self.written_pid()
        return None if pid is None else process_working_in(self.folder, pid)

    def stop_outdated(self) -> None:
        """Stop the server if it was started by older code than this, or from older wheels. Nobody uses it."""
        process = self.find()
        if process is None:
            return
        paths = [PROJECT / "requirements-embedded.txt", *Path(__file__).parent.glob("*.py")]
        if process.create_time() < max(path.stat().st_mtime for path in paths):
            self.stop()

    def stop(self) -> None:
        """Stop the server, warmly first, and return when it is gone. Never signals a process that is not ours."""
        process = self.find()
        if process is None:
            return
        for number in self.stop_signals:
            process.send_signal(number)
            deadline = time.monotonic() + STOPPING
            while time.monotonic() < deadline:
                if not is_alive(process):
                    reap(process)
                    self.process = None
                    return
                time.sleep(0.01)


def start_detached(argv: list[str], *, log: Path, cwd: Path, env: dict[str, str]) -> psutil.Popen:
    """Start a server in a session of its own, where a terminal's Ctrl-C does not reach it; it writes to `log`."""
    with log.open("ab") as output:
        return psutil.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )


def reap(process: psutil.Process) -> None:
    """Take note of the end of a process, so that it leaves no zombie where it was our own child."""
    with contextlib.suppress(psutil.Error):
        process.wait(timeout=0)
    if isinstance(process, psutil.Popen):
        process.poll()  # also where somebody else has waited for it: subprocess warns of what it thinks still runs


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie that nobody reaps (in a container without an init) does not."""
    if isinstance(process, psutil.Popen):  # our own child: the kernel knows, whatever became of the clock
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def process_working_in(folder: Path, pid: int) -> psutil.Process | None:
    """The process of that id if it works in `folder`; None if it is gone or the number is a stranger's now."""
    try:
        process = psutil.Process(pid)
        if not is_alive(process):
            return None
        try:
            ours = os.path.samefile(process.cwd(), folder)
        except psutil.AccessDenied:
            # Root in a container without CAP_SYS_PTRACE may not look at another user's cwd.
            ours = str(folder) in process.cmdline()
        return process if ours else None
    except (psutil.Error, OSError):
        return None


def last_line(log: Path) -> str:
    """What a server said last, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1] if lines else 'it said nothing'} (more in {log})"
