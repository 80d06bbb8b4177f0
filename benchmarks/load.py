"""A small load generator: sequential requests over keep-alive connections for some seconds.

It runs in its own process (`python -m benchmarks.load …`), so that it never shares an interpreter with the measured
code. It uses plain sockets and httptools, because it must be far cheaper than the server. It has no event loop, because
event loops send requests in bursts: the server would be idle, then overloaded. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from uuid import uuid4

import httptools

ID = b"00000000-0000-4000-8000-000000000000"  # placeholder in a body; each occurrence becomes a new id in each request
RESPONSE_TIMEOUT = 10.0  # seconds; a connection without a response for this long counts as an error


@dataclass(frozen=True)
class Load:
    """The results: the numbers of responses with the wanted status and of all others, and times in ms."""

    answers: int
    errors: int
    per_second: float
    p50: float
    p95: float
    p99: float


class Connection:
    """One keep-alive connection. The next request is sent when the previous response is complete."""

    def __init__(self, port: int, wanted: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpResponseParser(self)
        self.wanted, self.started = wanted, 0.0
        self.times: list[float] = []
        self.errors = 0

    def send(self, request: bytes) -> None:
        self.started = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read the available data. Return whether the response is complete. Raises OSError."""
        answers = len(self.times)
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError
        self.parser.feed_data(data)
        return len(self.times) > answers

    def on_message_complete(self) -> None:
        self.times.append((time.perf_counter() - self.started) * 1000)
        self.errors += self.parser.get_status_code() != self.wanted


def with_ids(request: bytes) -> Iterator[bytes]:
    """Yield the request repeatedly, with a new UUID in place of each ID."""
    first, *rest = request.split(ID)
    prefix = str(uuid4())[:-12].encode()
    numbers = count()
    while True:
        yield b"".join([first, *(part for piece in rest for part in (prefix + b"%012x" % next(numbers), piece))])


def generate(port: int, request: bytes, *, connections: int, seconds: float, wanted: int, pace: float = 0.0) -> Load:
    """Load 127.0.0.1:`port` and return the results. Lost connections are not reopened."""
    started = time.perf_counter()
    requests, made = with_ids(request), [Connection(port, wanted) for _ in range(connections)]
    if pace:
        hanging = _in_turn(made, requests, started + seconds, 1 / pace)
        return _summed(made, time.perf_counter() - started, hanging)
    with selectors.DefaultSelector() as selector:
        for one in made:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send(next(requests))
        hanging = _go_on(selector, requests, started + seconds)
    return _summed(made, time.perf_counter() - started, hanging)


def _summed(made: list[Connection], took: float, hanging: int) -> Load:
    times = sorted(time for one in made for time in one.times)
    errors = sum(one.errors for one in made) + hanging
    if not times:
        return Load(0, errors, 0.0, 0.0, 0.0, 0.0)
    answers = len(times) - errors
    p50, p95, p99 = (times[len(times) * percent // 100] for percent in (50, 95, 99))
    return Load(answers, errors, answers / took, p50, p95, p99)


def _in_turn(made: list[Connection], requests: Iterator[bytes], until: float, apart: float) -> int:
    """Send one request every `apart` seconds, each on a free connection.

    Return the number of responses that never came.

    If no connection is free, the request waits, and its time counts from when it should have been sent.
    """
    free, due = deque(made), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for one in made:
            selector.register(one.socket, selectors.EVENT_READ, one)
        while due < until or len(free) < len(made):
            wait = RESPONSE_TIMEOUT if due >= until or not free else max(0.0, due - time.perf_counter())
            ready = selector.select(wait)
            if not ready and wait == RESPONSE_TIMEOUT:
                break
            free += [key.data for key, _ in ready if key.data.receive()]
            if free and due < until and time.perf_counter() >= due:
                one = free.popleft()
                one.send(next(requests))
                one.started, due = due, due + apart
    return len(made) - len(free)


def _go_on(selector: selectors.BaseSelector, requests: Iterator[bytes], until: float) -> int:
    """Send and receive until `until`, then wait for outstanding responses. Return the number that never came."""
    while selector.get_map():
        ready = selector.select(RESPONSE_TIMEOUT)
        if not ready:
            break
        for key, _ in ready:
            one: Connection = key.data
            try:
                if not one.receive():
                    continue
                if time.perf_counter() < until:
                    one.send(next(requests))
                    continue
            except OSError:
                one.errors += 1
            selector.unregister(one.socket)
            one.socket.close()
    return len(selector.get_map())


def run(
    port: int,
    path: str,
    *,
    authorization: str = "",
    body: bytes | None = None,
    wanted: int = 200,
    connections: int = 32,
    seconds: float = 4.0,
    pace: float = 0.0,
) -> Load:
    """Generate load in a separate process and wait for it. With a body, the requests are POSTs of JSON.

    `pace` is the maximum number of requests per second on all connections. 0 means unlimited.
    """
    argv = [sys.executable, "-m", "benchmarks.load", str(port), path, "--connections", str(connections)]
    posting = [] if body is None else ["--post"]
    done = subprocess.run(
        [
            *(*argv, "--seconds", str(seconds), "--authorization", authorization, "--wanted", str(wanted)),
            *("--pace", str(pace), *posting),
        ],
        capture_output=True,
        input=body,
        check=True,
        timeout=seconds + 2 * RESPONSE_TIMEOUT,
    )
    return Load(**json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--authorization", default="", help="the header's value")
    parser.add_argument("--post", action="store_true", help="POST the JSON on standard input")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--pace", type=float, default=0.0, help="the most requests a second")
    parser.add_argument("--wanted", type=int, default=200, help="the status of a good answer")
    given = parser.parse_args()
    body = sys.stdin.buffer.read() if given.post else b""
    headers = f"Authorization: {given.authorization}\r\n" if given.authorization else ""
    if given.post:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    method = "POST" if given.post else "GET"
    request = f"{method} {given.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode() + body
    load = generate(
        given.port, request, connections=given.connections, seconds=given.seconds, wanted=given.wanted, pace=given.pace
    )  # fmt: skip
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
