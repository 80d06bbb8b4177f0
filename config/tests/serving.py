"""A real server in the test's event loop: uvicorn with the launcher's protocol classes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn

from config.server.http_protocol import LimitedProtocol, LimitedSocket

PATIENCE = 20.0  # seconds


class Server:
    """A running server: its `port`, and `connections` as the server counts them."""

    def __init__(self, application: Any) -> None:
        config = uvicorn.Config(
            application, port=0, lifespan="off", log_level="critical", http=LimitedProtocol, ws=LimitedSocket,
            ws_max_size=65536, ws_per_message_deflate=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext
        self.peers: list[Peer] = []

    async def start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve())
        await until(lambda: self._server.started)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._serving

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)


@contextlib.asynccontextmanager
async def serving(application: Any) -> AsyncIterator[Server]:
    server = Server(application)
    await server.start()
    try:
        yield server
    finally:
        for peer in server.peers:
            peer.close()
        await asyncio.sleep(0)
        await server.stop()


class Peer:
    """Client that sends raw bytes, and reads only when `read` or `answer` is called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, content: bytes) -> None:
        self.writer.write(content)

    async def read(self) -> bytes:
        """Return everything until the server closes or cuts the connection."""
        content = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while part := await self.reader.read(65536):
                    content += part
        return content

    async def answer(self) -> bytes:
        """Return one response that has a Content-Length."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            return head + await self.reader.readexactly(int(length.split(b":")[1]))

    def close(self) -> None:
        self.writer.transport.abort()


async def connect(server: Server, address: str = "127.0.0.1", *, buffer: int | None = None) -> Peer:
    """Connect from this loopback address; `buffer` limits the bytes that are received unread."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.bind((address, 0))
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
    peer = Peer(*await asyncio.open_connection(sock=connection, limit=2**16 if buffer is None else 1024))
    server.peers.append(peer)
    return peer


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
