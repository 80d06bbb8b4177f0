"""Which core does what, where a server, its database and the load share a machine.

Linux likes to run whoever is woken where the waker runs. A web process that sends a statement wakes Postgres, which
then waits behind the very process that will wait for it, while another core has nothing to do. That comes of sharing
the machine, and comes differently each time. So the server has the first core for itself, and the rest has the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import psutil

from config.embedded.home import Home
from config.embedded.postgres import Postgres

MOST = os.cpu_count() or 1
CAN_CHOOSE = MOST > 1 and shutil.which("taskset") is not None and hasattr(psutil.Process, "cpu_affinity")
SERVER, OTHERS = [0], list(range(1, MOST))


def on_the_first() -> list[str]:
    """Return what a server's command begins with."""
    return ["taskset", "--cpu-list", str(SERVER[0])] if CAN_CHOOSE else []


@contextlib.contextmanager
def load_and_postgres_on_the_others() -> Iterator[None]:
    """Keep this process, what it starts without a word about cores, and Postgres from the server's core."""
    if not CAN_CHOOSE:
        yield
        return
    move(OTHERS)
    try:
        yield
    finally:
        move(SERVER + OTHERS)


def move(cores: list[int]) -> None:
    postmaster = psutil.Process(Postgres(Home.from_environment(), durable=True).written_pid())
    for process in (psutil.Process(), postmaster, *postmaster.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.cpu_affinity(cores)
