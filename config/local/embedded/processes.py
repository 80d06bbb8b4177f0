"""Servers that outlive the process that started them, and finding them again safely even if a pid was reused."""

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
STOPPING = 30.0  # seconds per stop signal before the next, harder one


class Server:
    """One embedded server: found again if it is running, started if not, stopped by its last user.

    A subclass defines how to launch it, whether it responds, and where its process id is written.
    """

    name: str
    variable: str  # environment variable with its URL
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, *, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.process: psutil.Process | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def launch(self) -> psutil.Process:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def written_pid(self) -> int | None:
        raise NotImplementedError

    def ensure(self) -> None:
        """Return when the server responds, after starting it if it is not running. Raises EmbeddedError.

        The caller holds the gate, so no other process starts or stops the server meanwhile.
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
                # The backends of a killed server may need a moment to notice and release its shared memory.
                time.sleep(0.5 * launches)
                launches += 1
                self.process = self.launch()
            time.sleep(0.01)
        raise EmbeddedError(f"The embedded {self.name} did not answer within {STARTING:.0f} s: see {self.log}.")

    def find(self) -> psutil.Process | None:
        """Return the running server's process: the known one, else the one with the written pid if it is ours."""
        if self.process is not None:
            if is_alive(self.process):
                return self.process
            reap(self.process)
        pid = self.written_pid()
        return None if pid is None else process_working_in(self.folder, pid)

    def stop_outdated(self) -> None:
        """Stop an unused server that was started before the newest change of this code or of the wheels."""
        process = self.find()
        if process is None:
            return
        paths = [PROJECT / "requirements-embedded.txt", *Path(__file__).parent.glob("*.py")]
        if process.create_time() < max(path.stat().st_mtime for path in paths):
            self.stop()

    def stop(self) -> None:
        """Stop the server, gracefully first, and return when it has ended. Never signals a foreign process."""
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
    """Start a server in its own session, which a terminal's Ctrl-C does not reach; its output goes to `log`."""
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
    """Reap an ended process, so that a child of this process does not stay as a zombie."""
    with contextlib.suppress(psutil.Error):
        process.wait(timeout=0)
    if isinstance(process, psutil.Popen):
        process.poll()  # also if it was already waited for: subprocess warns about processes it considers running


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process is running. An unreaped zombie (in a container without init) is not."""
    if isinstance(process, psutil.Popen):  # our own child: the kernel knows, whatever the clock did
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def process_working_in(folder: Path, pid: int) -> psutil.Process | None:
    """Return the process with this id if it works in `folder`; None if it ended or the id was reused."""
    try:
        process = psutil.Process(pid)
        if not is_alive(process):
            return None
        try:
            ours = os.path.samefile(process.cwd(), folder)
        except psutil.AccessDenied:
            # Root in a container without CAP_SYS_PTRACE may not read another user's cwd.
            ours = str(folder) in process.cmdline()
        return process if ours else None
    except (psutil.Error, OSError):
        return None


def last_line(log: Path) -> str:
    """Return the last line of a server's log, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1] if lines else 'it printed nothing'} (more in {log})"
