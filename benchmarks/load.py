"""A small load generator: requests over keep-alive connections, one at a time on each, for some seconds.

A process of its own (`python -m benchmarks.load …`), so that it never shares an interpreter with what it measures.
Raw sockets, uvloop and httptools: it must be far cheaper than the server. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import httptools
import uvloop

ID = b"00000000-0000-4000-8000-000000000000"  # in a body: each one is another, in each request
LONGEST_ANSWER = 10.0  # seconds; a connection that hears nothing for so long counts as an error


@dataclass(frozen=True)
class Load:
    """What came of it: answers with the wanted status, all others, and their times in ms."""

    answers: int
    errors: int
    per_second: float
    p50: float
    p95: float
    p99: float


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends the next request when the answer to the last one is complete."""

    def __init__(self, requests: Iterator[list[bytes]], wanted: int, until: float, over: asyncio.Future[None]) -> None:
        self.requests, self.wanted, self.until, self.over = requests, wanted, until, over
        self.times: list[float] = []
        self.errors = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.started = time.perf_counter()
        self.transport.writelines(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.times.append((now - self.started) * 1000)
        self.errors += self.parser.get_status_code() != self.wanted
        if now < self.until:
            # Not from within the parser, which the next request replaces.
            asyncio.get_running_loop().call_soon(self.send)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self.until:  # the server hung up
            self.errors += 1
        if not self.over.done():
            self.over.set_result(None)


def with_ids(request: bytes) -> Iterator[list[bytes]]:
    """Yield the request again and again, in parts, with a fresh UUID in the place of each ID."""
    first, *rest = request.split(ID)
    prefix = str(uuid4())[:-12].encode()
    numbers = count()
    while True:
        yield [first, *(part for piece in rest for part in (prefix + b"%012x" % next(numbers), piece))]


async def generate(port: int, request: bytes, *, connections: int, seconds: float, wanted: int) -> Load:
    """Load 127.0.0.1:`port` and return what came of it."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    made = []
    requests = with_ids(request)
    for over in ends:
        make = partial(Connection, requests, wanted, started + seconds, over)
        _, one = await loop.create_connection(make, "127.0.0.1", port)
        made.append(one)
    _, hanging = await asyncio.wait(ends, timeout=seconds + LONGEST_ANSWER)
    took = time.perf_counter() - started
    times = sorted(one_time for one in made for one_time in one.times)
    errors = sum(one.errors for one in made) + len(hanging)
    if not times:
        return Load(0, errors, 0.0, 0.0, 0.0, 0.0)
    answers = len(times) - errors
    p50, p95, p99 = (times[len(times) * percent // 100] for percent in (50, 95, 99))
    return Load(answers, errors, answers / took, p50, p95, p99)


def run(
    port: int,
    path: str,
    *,
    authorization: str = "",
    body: bytes | None = None,
    wanted: int = 200,
    connections: int = 32,
    seconds: float = 4.0,
) -> Load:
    """Generate load in a process of its own, and wait for it. With a body it is POSTs of JSON."""
    argv = [sys.executable, "-m", "benchmarks.load", str(port), path, "--connections", str(connections)]
    posting = [] if body is None else ["--post"]
    done = subprocess.run(
        [*argv, "--seconds", str(seconds), "--authorization", authorization, "--wanted", str(wanted), *posting],
        capture_output=True,
        input=body,
        check=True,
        timeout=seconds + 2 * LONGEST_ANSWER,
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
    parser.add_argument("--wanted", type=int, default=200, help="the status of a good answer")
    given = parser.parse_args()
    body = sys.stdin.buffer.read() if given.post else b""
    headers = f"Authorization: {given.authorization}\r\n" if given.authorization else ""
    if given.post:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    method = "POST" if given.post else "GET"
    request = f"{method} {given.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode() + body
    load = generate(
        given.port, request, connections=given.connections, seconds=given.seconds, wanted=given.wanted
    )  # fmt: skip
    print(json.dumps(asdict(uvloop.run(load))))


if __name__ == "__main__":
    main()
