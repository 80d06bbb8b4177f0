"""Stop embedded servers whose user was killed: `python -m config.local.embedded.stop_after_kill`, started by make run.

It reads its standard input, a pipe from the process that it monitors. A byte means that this process ends normally and
stops its servers itself. The end of the pipe without a byte means that it was killed: after GRACE seconds, in which its
children end, this process stops the servers, unless another process uses them.
"""

from __future__ import annotations

import atexit
import contextlib
import subprocess
import sys
import time
from pathlib import Path

from config.local.embedded.home import Home, is_unused
from config.local.embedded.servers import servers_of

GRACE = 12.0  # seconds


def stop_servers_if_killed(home: Home) -> None:
    """Start a process that looks after the servers in `home`, which this process uses."""
    process = subprocess.Popen(  # noqa: S603  our own arguments
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=home.path,
        env={"OPSROOM_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        start_new_session=True,  # not reached by Ctrl-C
    )

    def dismiss() -> None:
        assert process.stdin is not None  # noqa: S101  created with a pipe
        with contextlib.suppress(OSError):
            process.stdin.write(b".")
            process.stdin.close()
        process.wait()

    atexit.register(dismiss)


def main() -> None:
    if sys.stdin.buffer.read(1):
        return
    time.sleep(GRACE)
    home = Home.from_environment()
    with home.gate(), (home.run / "users.lock").open("a") as users:
        if is_unused(users):
            for server in servers_of(home, durable=True):
                server.stop()
            home.remove_sockets()


if __name__ == "__main__":
    main()
