"""Bridge from the ASGI server to Django's WSGI application: a fixed pool of threads, with one Postgres connection each.

Threads never wait for clients.

1. The event loop first reads the request's body, within limits of size and time, into memory or a temporary file.
2. A thread runs Django until its response is complete. A short response returns to the loop as a whole: switching
   between thread and loop takes about as long as a simple view, because the two compete for the interpreter lock, so
   it happens once. The rest of a long response is buffered in an outbox (config/server/response_buffer.py).
3. A stream, which may be slow to produce or longer than an outbox, is produced by a thread of a second, small pool, and
   sent meanwhile. The loop sends files itself.
4. The loop sends (config/server/response_sender.py). If the client disconnects or does not read for a while, the
   connection is aborted, and the producer of the response ends.

Headers with an underscore in their names are dropped, as by other WSGI servers: in WSGI, X_Forwarded_Proto, which any
client may send, would be indistinguishable from X-Forwarded-Proto, which the proxy sets.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from a2wsgi.wsgi import build_environ
from django.db import close_old_connections

from config.server.response_buffer import AT_ONCE, MAX_RESPONSE_BYTES, HungUp, ResponseBuffer
from config.server.response_sender import FileBody, Receive, Send, hang_up, send_file, send_parts
from core.http.problem import send_problem

MAX_BODY_BYTES = 64 * 1024 * 1024  # each form has its own smaller limit and error message
IN_MEMORY = 64 * 1024  # bytes of a body; a larger one goes to a file
BODY_TIMEOUT = 30.0  # seconds for the next part of a body
MIN_BODY_RATE = 1024  # bytes per second for the whole body, after BODY_TIMEOUT seconds
REFUSALS = {408: "The request did not arrive in time.", 413: "The request is too large."}
STREAMS = 4  # concurrent streams; further ones wait

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Bridge:
    """ASGI application for HTTP only."""

    def __init__(self, application: Application, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="django")
        self._streams = ThreadPoolExecutor(max_workers=STREAMS, thread_name_prefix="stream")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        answer = Answer(loop := asyncio.get_running_loop())
        try:
            with SpooledTemporaryFile(max_size=IN_MEMORY) as body:
                if refused := await _take_in(body, scope, receive):
                    await send_problem(send, refused, REFUSALS[refused], (b"connection", b"close"))
                    return
                environ = _environ(scope, body)
                in_thread = partial(contextvars.copy_context().run, self._run, environ, answer)
                rest = await loop.run_in_executor(self._threads, in_thread)
            await self._send(answer, rest, receive, send)
        except HungUp:
            await hang_up(send)
        finally:
            answer.close()

    def _run(self, environ: dict[str, Any], answer: Answer) -> Iterable[bytes] | None:
        """Run the application in this thread; return the stream or file that is still to be sent, if any."""
        parts = self._application(environ, answer.start)
        if isinstance(parts, FileBody) or answer.is_stream(parts):
            return parts
        answer.make(parts)
        return None

    async def _send(self, answer: Answer, rest: Iterable[bytes] | None, receive: Receive, send: Send) -> None:
        if isinstance(rest, FileBody):
            await send_file(lambda: answer.head, rest, receive, send)
        elif rest is not None:
            await self._send_stream(answer, rest, receive, send)
        elif answer.outbox is None:
            await send(answer.head)
            await send({"type": "http.response.body", "body": answer.whole()})
        else:
            await send_parts(lambda: answer.head, answer.outbox.take, receive, send, answer.outbox.cut)

    async def _send_stream(self, answer: Answer, parts: Iterable[bytes], receive: Receive, send: Send) -> None:
        outbox = answer.box()
        job = self._streams.submit(contextvars.copy_context().run, _make_stream, outbox, parts)
        making = asyncio.wrap_future(job)

        async def take() -> bytes:
            if part := await outbox.take():
                return part
            await making  # raises the error that ended the stream
            return b""

        try:
            await send_parts(lambda: answer.head, take, receive, send, outbox.cut)
        finally:
            outbox.cut()
            if job.cancel():  # the stream had not started
                await asyncio.to_thread(_close, parts)
            else:
                with contextlib.suppress(HungUp):
                    await making


class Answer:
    """Response of the application: its head, and its body or the outbox with the rest of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.head: dict[str, Any] = {}
        self.outbox: ResponseBuffer | None = None
        self._gathered: list[bytes] = []
        self._size = 0

    def start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        """WSGI's start_response(); sends nothing."""
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self.head = {"type": "http.response.start", "status": int(status[:3]), "headers": pairs}

    def is_stream(self, parts: Iterable[bytes]) -> bool:
        """Return whether the body may be slow to produce or longer than an outbox; in Django only streams are."""
        if (streaming := getattr(parts, "streaming", None)) is not None:
            return bool(streaming)
        length = next((value for name, value in self.head.get("headers", ()) if name == b"content-length"), None)
        return length is None or int(length) > MAX_RESPONSE_BYTES

    def make(self, parts: Iterable[bytes]) -> None:
        """Consume the parts and keep them: a short body in memory, a long one in an outbox."""
        try:
            for part in parts:
                self._add(part)
        finally:
            _close(parts)
        if self.outbox is not None:
            self._flush()
            self.outbox.end()

    def _add(self, part: bytes) -> None:
        self._gathered.append(part)
        self._size += len(part)
        if self._size > AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._size:
            self.box().put(self.whole())
        self._gathered, self._size = [], 0

    def whole(self) -> bytes:
        return b"".join(self._gathered)

    def box(self) -> ResponseBuffer:
        if self.outbox is None:
            self.outbox = ResponseBuffer(self._loop)
        return self.outbox

    def close(self) -> None:
        if self.outbox is not None:
            self.outbox.close()


def _make_stream(outbox: ResponseBuffer, parts: Iterable[bytes]) -> None:
    """Put each part as it is produced, in this thread, which has its own Postgres connection."""
    try:
        close_old_connections()
        for part in parts:
            outbox.put(part)
    finally:
        _close(parts)  # Django finishes the request and closes old connections
        outbox.end()


def _close(parts: Iterable[bytes]) -> None:
    if hasattr(parts, "close"):
        parts.close()


async def _take_in(body: IO[bytes], scope: dict[str, Any], receive: Receive) -> int:
    """Write the request's body to a file. Return 0, or the status of a refusal. Raises HungUp."""
    announced = dict(scope["headers"]).get(b"content-length", b"")
    more, size, begun = True, 0, asyncio.get_running_loop().time()
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        return 413
    while more:
        try:
            until = begun + BODY_TIMEOUT + size / MIN_BODY_RATE
            async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + BODY_TIMEOUT)):
                message = await receive()
        except TimeoutError:
            return 408
        if message["type"] == "http.disconnect":
            raise HungUp
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > MAX_BODY_BYTES:
            return 413
        body.write(part)
    return 0


def _environ(scope: dict[str, Any], body: IO[bytes]) -> dict[str, Any]:
    scope = scope | {"headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}
    environ: Any = build_environ(scope, body)
    environ["CONTENT_LENGTH"] = str(body.tell())  # the received size: a chunked body has no Content-Length
    environ["wsgi.file_wrapper"] = FileBody
    body.seek(0)
    return environ
