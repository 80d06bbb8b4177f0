"""CPU affinity for a server, its database and the load generator that share a machine.

Linux tends to run a woken process on the core of the process that woke it. A web process that sends a statement wakes
Postgres, which then waits behind that very process while another core is idle. This effect of sharing a machine differs
between runs. Therefore the server gets the first core for itself, and everything else the others.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import psutil

from config.local.embedded.home import Home
from config.local.embedded.postgres import Postgres

CORES = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else []
CAN_CHOOSE = len(CORES) > 1 and shutil.which("taskset") is not None


def on_the_first() -> list[str]:
    """Return the prefix of a server's command that pins it to the first core."""
    return ["taskset", "--cpu-list", str(CORES[0])] if CAN_CHOOSE else []


@contextlib.contextmanager
def load_and_postgres_on_the_others() -> Iterator[None]:
    """Keep this process, its children without explicit affinity, and Postgres off the server's core."""
    if not CAN_CHOOSE:
        yield
        return
    move(CORES[1:])
    try:
        yield
    finally:
        move(CORES)


def move(cores: list[int]) -> None:
    postmaster = psutil.Process(Postgres(Home.from_environment(), durable=True).written_pid())
    for process in (psutil.Process(), postmaster, *postmaster.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.cpu_affinity(cores)
