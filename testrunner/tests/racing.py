"""Several worker processes that race for runs, and a broker that loses, duplicates and delays their wake-ups.

`python -m testrunner.tests.racing FOLDER SLOTS check-then-lock|as-it-is|in-pytest` is one worker. A line on its
standard input is a message; a line on its standard output is a wake-up that it sends. Each run takes an exclusive lock
file of its environment and appends its number to a list, so overlaps are observed inside the runs. `in-pytest` does
this in a test of a real pytest, by way of a Referee, because a run may write below its own directory only. The other
modes do it in place of pytest, within milliseconds.
"""

from __future__ import annotations

import os
import random
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

LOST, DOUBLED, DELAYED = 0.3, 0.2, 0.3  # shares of all wake-ups
MAX_DELAY = 0.3  # seconds


class Broker:
    """Delivers wake-ups to the workers unreliably."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.workers: list[subprocess.Popen[str]] = []
        self.timers: list[threading.Timer] = []
        self.closed = False

    def take(self) -> None:
        fate = self.chance.random()
        if fate < LOST:
            return
        for _ in range(2 if fate < LOST + DOUBLED else 1):
            delay = self.chance.uniform(0, MAX_DELAY) if self.chance.random() < DELAYED else 0
            timer = threading.Timer(delay, self._deliver)
            self.timers.append(timer)
            timer.start()

    def _deliver(self) -> None:
        worker = self.chance.choice(self.workers)
        if not self.closed:
            worker.stdin.write("go\n")
            worker.stdin.flush()

    def listen(self, worker: subprocess.Popen[str]) -> None:
        for line in worker.stdout:
            if line == "wake\n":
                self.take()

    def close(self) -> None:
        for timer in self.timers:
            timer.join()
        self.closed = True


@contextmanager
def workers(folder: Path, database: str, *, processes: int, slots: int, how: str, broker: Broker) -> Iterator[None]:
    """Start real worker processes with some slots each, on the tests' database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    beside = url.path.rpartition("/")[0]  # the embedded server's URL path begins with its socket folder
    environment = os.environ | {"DATABASE_URL": url._replace(path=f"{beside}/{database}").geturl()}
    with referee(folder) as port:
        yield from _workers(folder, environment | {"RACE_PORT": str(port)}, processes, slots, how, broker)


def _workers(
    folder: Path, environment: dict[str, str], processes: int, slots: int, how: str, broker: Broker
) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-m", "testrunner.tests.racing", str(folder), str(slots), how]
    broker.workers = [
        subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    listeners = [threading.Thread(target=broker.listen, args=(worker,)) for worker in broker.workers]
    for listener in listeners:
        listener.start()
    try:
        yield
    finally:
        broker.close()
        for worker in broker.workers:
            worker.stdin.close()
            worker.wait(120)
        for listener in listeners:
            listener.join()
        for worker in broker.workers:
            worker.stdout.close()


def main(folder: Path, slots: int, how: str) -> None:
    import django

    django.setup()
    from django.db import connection

    from core import wake as live_wake
    from testrunner.queue import claims
    from testrunner.worker import runner

    live_wake._send = lambda task, args, options: print("wake", flush=True)
    if how == "check-then-lock":
        claims.claim = check_then_lock

    execute = pytest_in(folder) if how == "in-pytest" else instant_in(folder)

    def work() -> None:
        try:
            runner.execute_runs(f"racer-{os.getpid()}", execute)
        except Exception:
            (folder / f"problem-{os.getpid()}").write_text(repr(sys.exc_info()))
            raise
        finally:
            connection.close_if_unusable_or_obsolete()

    with ThreadPoolExecutor(slots) as pool:
        for _ in sys.stdin:
            pool.submit(work)
        pool.shutdown(cancel_futures=True)  # messages that have become useless


def instant_in(folder: Path):
    from testrunner.sandbox.results.outcome import Finished, Outcome, TestOutcome

    def instant(spec, *, on_result, **_) -> Finished:
        alone(str(folder), spec.environment["TEST_ENVIRONMENT_ID"], spec.run_name.split("-")[1])
        result = TestOutcome("test_a.py::test_a", "passed")
        on_result(result)
        return Finished(Outcome.SUCCESS, "", 0, [result])

    return instant


def pytest_in(folder: Path):
    """Return the real executor with a test that does the same as an instant run."""
    from testrunner.sandbox.executor import execute
    from testrunner.sandbox.isolation import MODES
    from testrunner.sandbox.run_spec import TestBytes

    def real(spec, **callbacks):
        known = {"RACE_PORT": os.environ["RACE_PORT"], "RACE_RUN": spec.run_name.split("-")[1]}
        files = [TestBytes("test_alone.py", ALONE)]
        spec = replace(spec, files=files, environment=spec.environment | known, mode=MODES[-1])
        return execute(spec, **callbacks)

    return real


def alone(folder: str, place: str, run: str) -> None:
    with holding(folder, place, run):
        time.sleep(random.uniform(0, 0.004))


@contextmanager
def holding(folder: str, place: str, run: str) -> Iterator[None]:
    """Hold the environment's lock file; record this run, and an overlap if another run holds the file."""

    def append(name: str) -> None:
        with open(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "w") as file:
            file.write(f"{run}\n")

    lock = f"{folder}/lock-{place}"
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        append("overlaps")
    append(f"order-{place}")
    yield
    with suppress(FileNotFoundError):
        os.unlink(lock)


class Referee(socketserver.StreamRequestHandler):
    """Holds the lock file of an environment for a run that is connected: from its first line to its second."""

    def handle(self) -> None:
        place, run = self.rfile.readline().decode().split()
        with holding(self.server.folder, place, run):
            self.wfile.write(b"in\n")
            self.rfile.readline()
        self.wfile.write(b"out\n")


@contextmanager
def referee(folder: Path) -> Iterator[int]:
    """Serve a Referee on a loopback port, which is returned."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Referee) as server:
        server.folder = str(folder)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


ALONE = b"""
import os, random, socket, time

def test_nobody_else_is_here():
    with socket.create_connection(("127.0.0.1", int(os.environ["RACE_PORT"]))) as line, line.makefile("rw") as words:
        print(os.environ["TEST_ENVIRONMENT_ID"], os.environ["RACE_RUN"], file=words, flush=True)
        assert words.readline() == "in\\n"
        time.sleep(random.uniform(0, 0.004))
        print("done", file=words, flush=True)
        assert words.readline() == "out\\n"
"""


def check_then_lock(environment_id: int, worker: str):
    """The naive claim: check that no run is active, then take the oldest. Another worker may do the same in between."""
    from django.db import transaction

    from testrunner.models import TestEnvironment, TestRun
    from testrunner.queue import claims

    if TestRun.objects.running().filter(environment=environment_id).exists():
        return None
    with transaction.atomic():
        queued = TestRun.objects.queued().filter(environment=environment_id).order_by("id")
        run = queued.select_for_update(skip_locked=True).first()
        return run and claims._activate(run, TestEnvironment.objects.get(pk=environment_id), worker)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
