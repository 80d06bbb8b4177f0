"""Django, which speaks WSGI, inside an ASGI server: a fixed pool of threads, one connection to Postgres each.

1. The event loop takes a request's body in first, within limits of size and time, in memory or in a temporary file: a
   slow client keeps none of the threads waiting.
2. A thread runs Django. A short answer goes back to the loop as a whole: to go from thread to loop and back takes about
   as long as a simple view, because the two wait for the interpreter's lock by turns, so it is done once.
3. A long answer, or one of unknown length, goes part by part, each when the last one was taken. Where the client hung
   up, or takes nothing for a while, it ends there, and so does whatever makes it.

Headers whose names have an underscore are dropped, as WSGI servers do: WSGI could not tell X_Forwarded_Proto, which
anybody may send, from X-Forwarded-Proto, which the proxy sets.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from a2wsgi.wsgi import build_environ

LARGEST = 64 * 1024 * 1024  # bytes of a body; each form has a smaller limit of its own, and words for it
IN_MEMORY = 1024 * 1024  # bytes of a body; the rest goes to a file
AT_ONCE = 64 * 1024  # bytes of an answer
SLOWEST = 30.0  # seconds for the next part of a body, or of an answer

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class HungUp(Exception):
    """The client is not there any more, or takes nothing."""


class Bridge:
    """The ASGI application, for HTTP alone."""

    def __init__(self, application: Application, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="django")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as body, contextlib.suppress(HungUp):
            refused = await _take_in(body, scope, receive)
            if refused:
                await _refuse(send, refused)
                return
            environ = build_environ(_without_underscores(scope), body)
            answer = Answer(receive, send)
            run = partial(contextvars.copy_context().run, self._run, environ, answer)
            for message in await asyncio.get_running_loop().run_in_executor(self._threads, run):
                await send(message)

    def _run(self, environ: dict[str, Any], answer: Answer) -> list[dict[str, Any]]:
        """Run the application in this thread, and return what is left to be sent."""
        parts = self._application(environ, answer.start)
        try:
            for part in parts:
                answer.add(part)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return answer.rest()


class Answer:
    """What comes back from the application: gathered in its thread, sent in the event loop."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[dict[str, Any]] | None = None
        self._head: dict[str, Any] | None = None
        self._gathered: list[bytes] = []
        self._size = 0
        self._most = 0

    def start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        """WSGI's start_response(); nothing is sent yet."""
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": pairs}
        # Who doesn't say how long it will be may be slow to make it.
        self._most = AT_ONCE if any(name == b"content-length" for name, _ in pairs) else 0

    def add(self, part: bytes) -> None:
        """Gather a part; send what there is, and wait for that, where it is much. Raises HungUp."""
        self._gathered.append(part)
        self._size += len(part)
        if self._size > self._most:
            asyncio.run_coroutine_threadsafe(self._pass_on(self._messages(more=True)), self._loop).result()

    def rest(self) -> list[dict[str, Any]]:
        """Return the messages that end the answer."""
        if self._news is not None:
            self._loop.call_soon_threadsafe(self._news.cancel)
        return self._messages(more=False)

    def _messages(self, *, more: bool) -> list[dict[str, Any]]:
        head, self._head = self._head, None
        body = {"type": "http.response.body", "body": b"".join(self._gathered), "more_body": more}
        self._gathered, self._size = [], 0
        return [head, body] if head else [body]

    async def _pass_on(self, messages: list[dict[str, Any]]) -> None:
        """Send them, in the event loop, as the client takes them. Raises HungUp."""
        if self._news is None:
            self._news = asyncio.ensure_future(self._receive())  # after the body there is only one kind of news
        try:
            async with asyncio.timeout(SLOWEST):
                for message in messages:
                    if self._news.done():
                        raise HungUp
                    await self._send(message)
        except TimeoutError:
            raise HungUp from None


async def _take_in(body: IO[bytes], scope: dict[str, Any], receive: Receive) -> int:
    """Write the request's body to a file, and return 0, or the status it is refused with. Raises HungUp."""
    announced = dict(scope["headers"]).get(b"content-length", b"")
    more, size = True, 0
    if announced.isdigit() and int(announced) > LARGEST:
        return 413
    while more:
        try:
            async with asyncio.timeout(SLOWEST):
                message = await receive()
        except TimeoutError:
            return 408
        if message["type"] == "http.disconnect":
            raise HungUp
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > LARGEST:
            return 413
        body.write(part)
    body.seek(0)
    return 0


def _without_underscores(scope: dict[str, Any]) -> dict[str, Any]:
    return scope | {"headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}


async def _refuse(send: Send, status: int) -> None:
    """Answer with problem details, in the shape of the whole house (config/problems.py), and hang up."""
    phrase = HTTPStatus(status).phrase
    detail = {408: "The request did not arrive in time.", 413: "The request is too large."}[status]
    content = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(content))]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
