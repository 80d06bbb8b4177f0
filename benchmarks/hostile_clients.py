"""Effect of hostile clients on other clients: p95 of /ping/, /health/ and an admin page.

The hostile clients are 50 slow readers of large responses, 50 slow writers, 200 request heads that never end, 1,000
slow bodies with one write key, and 100 concurrent logins with wrong passwords. They run each alone and all at once; a
last case is a Redis that accepts connections and never answers. Each kind has its own address, the measured client
another one. It sends one request after the other over keep-alive connections. A wrong status, or no response within 10
s, counts as a response after 10 s.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from benchmarks import ingest
from benchmarks.attackers import ATTACKS
from benchmarks.instance import cookie, python, token, web
from benchmarks.report import Figure, at_most
from benchmarks.size import is_small, sized

SECONDS = sized(15.0, 1.0)
WARM_UP = 3  # requests, for templates and connections of a new process
GOAL = 200.0  # ms
PATHS = {"/ping/": {200}, "/health/": {200, 503}, "/admin/projects/task/": {200}}
TIMEOUT = 10.0  # seconds
Times = dict[str, list[float]]  # by path, in ms


def measure() -> list[Figure]:
    ingest.set_up()
    key, session = token(), cookie()
    headers = {"Cookie": f"{session['name']}={session['value']}"}
    figures: list[Figure] = []
    with web():
        figures += reported("nobody hostile", ask(headers))
        for names in [*([name] for name in ATTACKS), list(ATTACKS)]:
            with attacked(names, key):
                figures += reported(names[0] if len(names) == 1 else "all of them", ask(headers))
    with silent_server() as port, web(REDIS_URL=f"redis://127.0.0.1:{port}/0"):
        figures += reported("a silent Redis", ask(headers))
    return figures


@contextlib.contextmanager
def attacked(names: list[str], key: str) -> Iterator[None]:
    given = ["--token", key, "--key", ingest.KEY, "--fewer", "20" if is_small() else "1"]
    attackers = subprocess.Popen(
        python("-m", "benchmarks.attackers", os.environ["PORT"], *names, *given), stdout=subprocess.PIPE
    )
    try:
        assert attackers.stdout is not None
        attackers.stdout.readline()  # "in place"
        yield
    finally:
        attackers.kill()
        attackers.wait()


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    taken: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def ask(headers: dict[str, str]) -> Times:
    """Request each path at most 20 times per second, each on its own connection."""
    times: Times = {path: [] for path in PATHS}
    asking = [threading.Thread(target=_ask, args=(path, headers, times[path])) for path in PATHS]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    return times


def _ask(path: str, headers: dict[str, str], times: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=TIMEOUT)
    with contextlib.closing(connection):
        for _ in range(WARM_UP):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", path, headers=headers)
                connection.getresponse().read()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                took = time.perf_counter() - began if answer.status in PATHS[path] else TIMEOUT
            except (OSError, http.client.HTTPException):
                connection.close()
                took = TIMEOUT
            times.append(took * 1000)
            time.sleep(max(0.0, 0.05 - took))


def reported(what: str, times: Times) -> list[Figure]:
    found = []
    for path, taken in times.items():
        p95 = sorted(taken)[len(taken) * 95 // 100]
        print(f"  {what:24} {path:24} p95 {p95:7.1f} ms, longest {max(taken):7.1f} ms, {len(taken)} answers")
        found.append(at_most(f"{what}: {path}, p95", GOAL, [p95], " ms", 1))
    return found
