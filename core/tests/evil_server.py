"""A real HTTP server on loopback that misbehaves as configured: `evil_server.on("/path", drip_body)`.

A behaviour is a function of the connection. It sends its output byte for byte, so that any invalid response is
possible.
"""

from __future__ import annotations

import json
import socketserver
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass
class Request:
    """A client's request: its path, its query with one value per name, and its headers in lower case."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Connection:
    """One client connection, as a behaviour sees it."""

    sock: Any
    stopping: Event
    request: Request = field(default_factory=lambda: Request("", {}, {}))

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait(self, seconds: float = 60) -> None:
        """Wait for `seconds`, or until the test is over."""
        if self.stopping.wait(seconds):
            raise ConnectionError("the test is over")


Behaviour = Callable[[Connection], None]


class EvilServer(socketserver.ThreadingTCPServer):
    """Serves each path by its behaviour, 404 elsewhere, and records the requests."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = tls
        self.port = self.server_address[1]
        self.scheme = "https" if tls else "http"
        self.origin = f"{self.scheme}://127.0.0.1:{self.port}"
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[Request] = []
        self.stopping = Event()

    def on(self, path: str, behaviour: Behaviour) -> str:
        """Use this behaviour for the path. Return its URL."""
        self.behaviours[path] = behaviour
        return self.origin + path


class _Handler(socketserver.BaseRequestHandler):
    server: EvilServer

    def handle(self) -> None:
        try:
            self._serve()
        except OSError:
            return  # clients of a misbehaving server close the connection

    def _serve(self) -> None:
        sock = self.request
        if self.server.tls:
            sock = self.server.tls.wrap_socket(sock, server_side=True)
        with sock:
            connection = Connection(sock, self.server.stopping)
            head = b""
            while b"\r\n\r\n" not in head:
                received = sock.recv(65536)
                if not received:
                    return
                head += received
            connection.request = _parsed(head)
            self.server.asked.append(connection.request)
            self.server.behaviours.get(connection.request.path, answer(404))(connection)


def _parsed(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = urlsplit(first.split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return Request(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}, headers)


@contextmanager
def running(server: EvilServer) -> Iterator[EvilServer]:
    """Serve from a thread until the block ends."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def evil_server() -> Iterator[EvilServer]:
    with running(EvilServer()) as server:
        yield server


# --- Behaviours ---------------------------------------------------------------------------------


def head(status: int = 200, **headers: str) -> bytes:
    """Return the status line and headers of a response. Underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(head(status, Content_Length=str(len(body)), **headers) + body)

    return behave


def answer_json(payload: Any) -> Behaviour:
    return answer(200, json.dumps(payload).encode(), Content_Type="application/json")


def redirect(location: str) -> Behaviour:
    return answer(302, Location=location)


def raw(data: bytes) -> Behaviour:
    """Send exactly these bytes, then close the connection."""
    return lambda connection: connection.send(data)


def silent(connection: Connection) -> None:
    connection.wait()


def drip_headers(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.send(b"x")
        connection.wait(0.1)


def drip_body(connection: Connection) -> None:
    connection.send(head())
    while True:
        connection.send(b" ")
        connection.wait(0.1)


def endless_body(connection: Connection) -> None:
    connection.send(head())
    while True:
        connection.send(b"x" * 65536)


def endless_chunk_size(connection: Connection) -> None:
    connection.send(head(Transfer_Encoding="chunked"))
    while True:
        connection.send(b"0" * 65536)
