"""Which core does what, where a server, its database and the load share a machine.

Linux likes to run whoever is woken where the waker runs. A web process that sends a statement wakes Postgres, which
then waits behind the very process that will wait for it, while another core has nothing to do. That comes of sharing
the machine, and comes differently each time. So the server has the first core for itself, and the rest has the others.
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
    """Return what a server's command begins with."""
    return ["taskset", "--cpu-list", str(CORES[0])] if CAN_CHOOSE else []


@contextlib.contextmanager
def load_and_postgres_on_the_others() -> Iterator[None]:
    """Keep this process, what it starts without a word about cores, and Postgres from the server's core."""
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
