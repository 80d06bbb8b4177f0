"""uvicorn's HTTP protocol with limits: `--http config.server.http_protocol:LimitedProtocol --ws
config.server.http_protocol:LimitedSocket`.

- Request line and headers: MAX_HEAD_BYTES bytes and MAX_HEADERS lines (431), within HEAD_TIMEOUT seconds (408). The
  same limits apply to bytes that the application never sees: trailers, and chunk extensions.
- MAX_CONTENT_LENGTH_DIGITS digits of a Content-Length (400).
- MAX_PIPELINED requests of one connection that wait for their turn.
- As many connections as config/server/connections.py allows (503).

A WebSocket handshake is first handled as such a request. A refusal is a problem details response; afterwards the server
closes the connection, and aborts it after LINGER seconds.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from config.server.connections import Admission, connections_of, cut, limit_kernel
from core.http.problem import CONTENT_TYPE, problem

MAX_HEAD_BYTES = 64 * 1024  # bytes
MAX_HEADERS = 200
MAX_CONTENT_LENGTH_DIGITS = 20  # leading zeros are allowed, and Python refuses to parse thousands of digits
HEAD_TIMEOUT = 15.0  # seconds
MAX_PIPELINED = 16
LINGER = 2.0  # seconds for the client to read a refusal
WORDS = {
    400: f"The Content-Length has more than {MAX_CONTENT_LENGTH_DIGITS} digits, or the handshake of a WebSocket is "
    "malformed.",
    408: "The request line and headers did not arrive in time.",
    431: f"The request line and headers are larger than {MAX_HEAD_BYTES // 1024} KiB or {MAX_HEADERS} lines.",
    503: "There are too many connections. Please try again in a moment.",
}


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `is_idle` while no request is handled: before one, during its head, or after its response."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = connections_of(self.server_state)
        self._timer: asyncio.TimerHandle | None = None  # deadline of the expected head
        self._begun = False  # a head has begun and not ended
        self._unseen = 0  # bytes since the last event that the application sees
        self._over = False  # refused, cut, or handed to the WebSocket protocol: nothing more is read here
        self._last = 0  # bytes of the last read

    @property
    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit_kernel(transport)
        entry = self._all.enter(self)
        if entry is Admission.ADMIT:
            self._expect_head()
        elif entry is Admission.REFUSE:
            self._refuse(503)
        else:
            self._cut("too many")

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._last = len(data)
        self._unseen += self._last
        super().data_received(data)
        if self._over or self.transport.is_closing():
            return
        if self._unseen > MAX_HEAD_BYTES or len(self.headers or ()) > MAX_HEADERS:
            self._refuse(431)
        elif self._timer is None and (self._begun or self.is_idle):  # idle: only line breaks before a request line
            self._expect_head()

    # --- Events of the parser -----------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._begun = False
        self._expect_nothing()
        if self._over:
            return
        if self._is_too_large():
            self._refuse(431)
        elif self._has_long_length():
            self._refuse(400)
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._cut("pipelined")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unseen = 0
        if not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unseen = 0
        if not self._over:
            super().on_message_complete()

    def _is_too_large(self) -> bool:
        if len(self.headers) > MAX_HEADERS:
            return True
        if self._unseen + self._last <= MAX_HEAD_BYTES:  # nearly always true, and cheap
            return False
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES

    def _has_long_length(self) -> bool:
        for name, value in self.headers:  # noqa: SIM110  a generator would cost each request a microsecond
            if len(value) > MAX_CONTENT_LENGTH_DIGITS and name == b"content-length":
                return True
        return False

    def handle_websocket_upgrade(self) -> None:
        if self._over:
            return
        self._over = True
        super().handle_websocket_upgrade()
        socket: Any = self.transport.get_protocol()
        self._all.replace(self, socket)
        if not socket.handshake_initiated:  # its library sends no response if it refuses a body or headers
            self._say(400, "handshake")

    # --- Timeouts, and refusals ---------------------------------------------------------------------
    def _expect_head(self) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(HEAD_TIMEOUT, self._head_is_late)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if not self.is_idle:  # the client sent part of the next request early: finish the current response first
            self._expect_head()
        elif self._begun:
            self._refuse(408)
        else:
            self._cut("silent")

    def _refuse(self, status: int) -> None:
        """Send an error response unless another response is being sent, and stop reading."""
        if self._over:
            return
        self._over = True
        self._expect_nothing()
        self._unset_keepalive_if_required()
        reason = {400: "long length", 408: "late head", 431: "large head", 503: "too many"}[status]
        if not self.is_idle:  # two responses would be mixed
            self._cut(reason)
        else:
            self._say(status, reason)

    def _say(self, status: int, reason: str) -> None:
        """Send an error response, and close the connection."""
        cut.labels(reason).inc()
        self.transport.write(_refusal(status))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # If the connection were closed at once, with unread bytes, the peer would not receive the response.
        self.loop.call_later(LINGER, self.transport.abort)

    def _cut(self, reason: str) -> None:
        self._over = True
        cut.labels(reason).inc()
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        if not self._over:
            super().send_400_response(msg)


class LimitedSocket(WebSocketsSansIOProtocol):
    """WebSocket connection, registered until it is closed."""

    def connection_lost(self, exc: Exception | None) -> None:
        connections_of(self._state).leave(self)
        super().connection_lost(exc)

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], **kwargs: Any) -> None:
        self._state = server_state
        super().__init__(config, server_state, app_state, **kwargs)


def _refusal(status: int) -> bytes:
    body = orjson.dumps(problem(status, WORDS[status]))
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        *(["Retry-After: 5"] if status == 503 else []),
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
