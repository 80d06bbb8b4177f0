"""The executor's side of the supervisor, which is the process that runs `supervisor_process.py`."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testrunner.sandbox.isolation import Mode, RunLimits, kept_and_hidden
from testrunner.sandbox.pytest_command import Invocation

LAUNCH = Path(__file__).with_name("supervisor_process.py")


class SupervisorClient:
    """A started supervisor process. `messages` collects what it has reported: pid, failed, errno, ended, exit, stopped.

    The plan is passed in an unnamed temporary file, so neither a large plan nor a supervisor that dies early can block
    the worker. The supervisor gets an empty environment, so that no variable of the worker is in a /proc/<pid>/environ
    that a test can read.
    """

    def __init__(self, plan: Mapping[str, Any], *, output: int, descriptors: Sequence[int]) -> None:
        self.control, theirs = socket.socketpair()
        self.messages: dict[str, Any] = {}
        self._partial = b""
        self._closing = threading.Lock()
        with theirs, tempfile.TemporaryFile() as file:
            file.write(json.dumps({**plan, "control": theirs.fileno(), "descriptors": list(descriptors)}).encode())
            file.seek(0)
            try:
                self.process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-I", "-S", "-B", str(LAUNCH)],
                    stdin=file,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs.fileno(), *descriptors],
                    start_new_session=True,
                    env={},
                    cwd="/",
                )
            except BaseException:
                self.control.close()
                raise
        self.control.setblocking(False)

    def listen(self) -> bool:
        """Read the supervisor's new messages; return False once the supervisor has closed its end."""
        try:
            words = self.control.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._partial = (self._partial + words).split(b"\n")
        for line in lines:
            self.messages.update(json.loads(line))
        return bool(words)

    def send_signal(self, number: int) -> None:
        """Let the supervisor send SIGINT to pytest, or SIGTERM to everything in the run."""
        self._order(signal=number)

    def extend_lease(self, seconds: float) -> None:
        """Let the run continue for this many seconds from now. Another thread may call this until the end."""
        self._order(lease=seconds)

    def _order(self, **words: float) -> None:
        # The lock keeps `close` from releasing the descriptor in between. A supervisor that does not read may fill the
        # socket; then the lease ends.
        with self._closing, contextlib.suppress(OSError):
            self.control.send(json.dumps(words).encode() + b"\n")

    def kill(self) -> None:
        """Ask the supervisor to kill everything, by ending the control stream."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)

    def close(self, patience: float = 5) -> None:
        """Kill the remaining processes and wait for the supervisor, which exits last."""
        self.kill()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            # with namespaces the kernel kills the other processes; without, the caller's sweep does
            self.process.kill()
            self.process.wait()
        with self._closing:
            self.control.close()


def kill_everything_of(user: int) -> None:
    """Kill every process of a run's own user. It is a single call, which no fork can outrun. Needs root."""
    program = f"import os, signal; os.setresuid({user}, {user}, {user}); os.kill(-1, signal.SIGKILL)"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], env={}, check=False)  # noqa: S603


def plan(
    invocation: Invocation,
    mode: Mode,
    *,
    user: int,
    directory: Path,
    limits: RunLimits,
    hidden: Sequence[Path] = (),
    lease_seconds: float | None = None,
) -> dict[str, Any]:
    """Return the plan that `supervisor_process.py` reads."""
    return {
        **asdict(mode),
        **asdict(invocation),
        "name": directory.name,
        "user": user,
        "directory": str(directory),
        "limits": asdict(limits),
        "lease": lease_seconds,
        "files": [(path, base64.b64encode(content).decode()) for path, content in invocation.files],
        **kept_and_hidden(directory, invocation.kept, hidden, mode),
    }


def make_directory(root: Path, name: str, mode: Mode, user: int) -> Path:
    """Create the run's directory with mode 0700. Without namespaces it belongs to the run's user."""
    root.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root)).resolve()
    if mode.change_user and not mode.namespaces:
        os.chown(directory, user, user)
    return directory
