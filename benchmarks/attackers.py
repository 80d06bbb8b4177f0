"""Hostile clients for hostile_clients.py: slow readers and writers, unfinished requests, and wrong logins.

It runs as its own process (`python -m benchmarks.attackers …`), each kind of client from its own address. It prints "in
place" after opening every connection, and runs until it is stopped. Connections that the server closes are opened
again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import resource
import socket
from collections.abc import Callable, Coroutine

LARGE_FILE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
PAUSE = 1.0  # seconds between two bytes
Attack = Callable[[str, int, argparse.Namespace], Coroutine[None, None, None]]


async def connection(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.bind((address, 0))
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=made, limit=1024)


async def drip(address: str, port: int, head: str) -> None:
    """Send a request head, then one byte per PAUSE."""
    _, writer = await connection(address, port)
    try:
        writer.write(head.encode())
        for _ in range(100_000):
            await asyncio.sleep(PAUSE)
            if writer.is_closing():
                return
            writer.write(b"x")
            await writer.drain()
    finally:
        writer.close()


async def slow_reader(address: str, port: int, given: argparse.Namespace) -> None:
    path = next(_paths)
    reader, writer = await connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {given.token}\r\n\r\n".encode())
        while await reader.read(1):  # noqa: ASYNC110  the delay is intended
            await asyncio.sleep(PAUSE)
    finally:
        writer.close()


_paths = itertools.cycle([LARGE_FILE, "/schema/"])


async def slow_writer(address: str, port: int, given: argparse.Namespace) -> None:
    lines = "Content-Type: application/json\r\nContent-Length: 100000"
    await drip(address, port, f"POST /projects/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {given.token}\r\n"
                              f"{lines}\r\n\r\n")  # fmt: skip


async def half_open_head(address: str, port: int, given: argparse.Namespace) -> None:
    await drip(address, port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")


async def slow_event(address: str, port: int, given: argparse.Namespace) -> None:
    await drip(address, port, f"POST /events/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {given.key}\r\n"
                              "Content-Length: 100000\r\n\r\n[")  # fmt: skip


async def wrong_login(address: str, port: int, given: argparse.Namespace) -> None:
    body = json.dumps({"username": f"nobody-{next(_numbers)}", "password": "wrong"})
    reader, writer = await connection(address, port)
    try:
        writer.write(f"POST /auth/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())  # fmt: skip
        await reader.read(-1)
    finally:
        writer.close()
    await asyncio.sleep(PAUSE)


_numbers = itertools.count()
ATTACKS: dict[str, tuple[Attack, int]] = {
    "slow readers": (slow_reader, 50),
    "slow writers": (slow_writer, 50),
    "half-open heads": (half_open_head, 200),
    "slow bodies of one key": (slow_event, 1_000),
    "wrong logins": (wrong_login, 100),
}


async def attack(name: str, given: argparse.Namespace, address: str) -> None:
    kind, count = ATTACKS[name]

    async def again() -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await kind(address, given.port, given)
            await asyncio.sleep(0.1)

    await asyncio.gather(*(again() for _ in range(max(1, count // given.fewer))))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--token", required=True, help="of REST")
    parser.add_argument("--key", required=True, help="to write events")
    parser.add_argument("--fewer", type=int, default=1, help="divide the numbers of clients by this")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    addresses = {name: f"127.0.0.{number}" for number, name in enumerate(ATTACKS, 2)}
    async with asyncio.TaskGroup() as group:
        for name in given.names:
            group.create_task(attack(name, given, addresses[name]))
        await asyncio.sleep(2)
        print("in place", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
