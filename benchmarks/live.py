"""Live messages: milliseconds from a commit to the last of 500 sockets.

It measures `live.publish.publish` in a transaction of this process, from before its COMMIT, through the outbox, the
hint, the web process's hub and uvicorn, until the last of 500 WebSocket clients has received the bytes. The peer is a
bare PUBLISH to 500 subscribers of the same Redis, measured from before the PUBLISH until the last one has received the
bytes. Both use the same client code. Messages are sent one at a time, alternating between the two.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any, cast
from urllib.parse import urlsplit

from benchmarks.instance import token, web
from benchmarks.report import Figure, at_most, ratios, spread
from benchmarks.size import sized

SOCKETS = sized(500, 50)
ROUNDS = sized(5, 1)
MESSAGES = sized(40, 5)  # per round
WARM_UP = sized(10, 2)
CHANNEL = "benchmark"


class Crowd:
    """The number of clients that still wait for the current message, and an event set when the last has received it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.all_have_it = asyncio.Event()

    async def seconds_until_last(self, send: Callable[[], None]) -> float:
        """Send one message. Return the seconds until all clients have received it."""
        self.waiting = SOCKETS
        self.all_have_it.clear()
        started = time.perf_counter()
        send()
        async with asyncio.timeout(30):
            await self.all_have_it.wait()
        return time.perf_counter() - started


class Listener(asyncio.Protocol):
    """A client. It has received a message when its data contains the end marker of this benchmark's messages."""

    def __init__(self, crowd: Crowd, opening: list[tuple[bytes, bytes]]) -> None:
        """`opening` lists what to send when connecting, each with the response to wait for."""
        self.crowd, self.opening = crowd, list(opening)
        self.heard = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.opening[0][0])

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self._open(data)
        elif b"the end" in data:
            self.crowd.waiting -= 1
            if self.crowd.waiting == 0:
                self.crowd.all_have_it.set()

    def _open(self, data: bytes) -> None:
        self.heard += data
        if self.opening[0][1] in self.heard:
            del self.opening[0]
            if self.opening:
                self.transport.write(self.opening[0][0])
            else:
                self.ready.set_result(None)


def measure() -> list[Figure]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the clients' event loop is idle during the commit
    with web(LIVE_SOCKETS_PER_USER=str(SOCKETS)):  # all sockets belong to one user
        return asyncio.run(_measure(token()))


async def _measure(key: str) -> list[Figure]:
    from redis import Redis

    redis = Redis.from_url(os.environ["REDIS_URL"])
    ours, theirs = Crowd(), Crowd()
    await _connect(ours, _to_web, [(handshake(key), b"101"), (subscription(), b'"subscribed"')])
    await _connect(theirs, _to_redis, [(f"SUBSCRIBE {CHANNEL}\r\n".encode(), b":1\r\n")])

    def publish_to_redis() -> None:
        redis.publish(CHANNEL, json.dumps({"text": "the end"}))

    print(f"a message at a time to {SOCKETS} sockets, {ROUNDS} rounds of {MESSAGES}")
    p95: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS + 1):
        mine, its = [], []
        for _ in range(MESSAGES if number else WARM_UP):
            mine.append(await ours.seconds_until_last(_commit) * 1000)
            its.append(await theirs.seconds_until_last(publish_to_redis) * 1000)
        if number:
            p95.append(quantiles(mine, n=20)[-1])
            bare.append(quantiles(its, n=20)[-1])
            print(f"  round {number}: ours {median(mine):.1f} ms, p95 {p95[-1]:.1f};"
                  f" bare PUBLISH {median(its):.1f} ms, p95 {bare[-1]:.1f}")  # fmt: skip
    print(f"  p95: ours {spread(p95, ' ms', 1)}, bare PUBLISH {spread(bare, ' ms', 1)}")
    return [
        at_most(f"live: commit → last of {SOCKETS} sockets, p95", 100, p95, " ms", 1),
        at_most(f"live / Redis PUBLISH → {SOCKETS} subscribers, p95", 3, ratios(p95, bare)),
    ]


def _commit() -> None:
    from django.db import transaction

    from live.publish import publish

    with transaction.atomic():
        publish("broadcasts", "broadcast.progress", {"text": "the end"})


Connector = Callable[[Callable[[], Listener]], Awaitable[tuple[Any, Listener]]]


async def _connect(crowd: Crowd, connector: Connector, opening: list[tuple[bytes, bytes]]) -> None:
    for first in range(0, SOCKETS, 50):
        made = [connector(lambda: Listener(crowd, opening)) for _ in range(first, min(first + 50, SOCKETS))]
        listeners = [listener for _, listener in await asyncio.gather(*made)]
        await asyncio.gather(*[listener.ready for listener in listeners])


def _to_web(make: Callable[[], Listener]) -> Awaitable[tuple[Any, Listener]]:
    return asyncio.get_running_loop().create_connection(make, "127.0.0.1", int(os.environ["PORT"]))


def _to_redis(make: Callable[[], Listener]) -> Awaitable[tuple[Any, Listener]]:
    url, loop = urlsplit(os.environ["REDIS_URL"]), asyncio.get_running_loop()
    if url.scheme == "unix":
        return loop.create_unix_connection(make, url.path)
    return loop.create_connection(make, url.hostname or "127.0.0.1", url.port or 6379)


def handshake(key: str) -> bytes:
    """Return the request that opens a WebSocket."""
    nonce = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /ws/notifications/ HTTP/1.1", f"Host: 127.0.0.1:{os.environ['PORT']}", "Upgrade: websocket",
             "Connection: Upgrade", f"Sec-WebSocket-Key: {nonce}", "Sec-WebSocket-Version: 13",
             f"Authorization: Token {key}"]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


def subscription() -> bytes:
    """Return one text frame, masked with zeros."""
    text = json.dumps({"type": "subscribe", "topics": ["broadcasts"]}).encode()
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
