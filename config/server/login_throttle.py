"""Protection of the login pages in the event loop, which makes attacks cheap before they reach Django.

A password check uses a processor for half a second. So, per web process:

1. An address has MAX_ATTEMPTS failed attempts, one of which is restored every ATTEMPT_INTERVAL seconds: 429 with
   Retry-After.
2. A body has at most MAX_BODY_BYTES bytes (413) and BODY_TIMEOUT seconds (408), and is read completely before anything
   else happens.
3. MAX_CONCURRENT logins are in Django at a time. Others wait without a thread, and addresses take turns; if too many
   wait, or for too long: 429.

Django locks out a pair of name and address after five wrong passwords (config/lockout.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.template.loader import render_to_string
from prometheus_client import Counter

from config.middleware import DEFAULTS
from config.server.fair_queue import AttemptLimit, FairQueue, QueueFull
from config.server.response_sender import Receive, Send
from core.http.client_ip import address_of, network_of
from core.http.problem import CONTENT_TYPE, problem

log = structlog.get_logger(__name__)

SUCCESS_STATUSES = {"/admin/login": 302, "/admin/password_change": 302, "/auth/token": 200}  # path: status of a success
MAX_BODY_BYTES = 16 * 1024  # bytes
BODY_TIMEOUT = 15.0  # seconds
MAX_ATTEMPTS, ATTEMPT_INTERVAL = 30, 2.0
MAX_CONCURRENT = max(1, min(4, (os.cpu_count() or 2) // 2))
MAX_WAITING, MAX_WAITING_PER_ADDRESS = 100, 20
QUEUE_TIMEOUT = 15.0  # seconds
WORDS = {
    408: "The request did not arrive in time.",
    413: f"A login has {MAX_BODY_BYTES // 1024} KiB at most.",
    429: "There are too many login attempts. Please try again in {seconds} seconds.",
}
refused = Counter("opsroom_logins_refused", "Logins that were refused before the password was checked", ["status"])


class LoginRefused(Exception):
    def __init__(self, status: int, seconds: int = 0) -> None:
        self.status, self.seconds = status, seconds


class LoginThrottle:
    """ASGI application for requests that check a password, in front of Django."""

    def __init__(self, django: Any) -> None:
        self._django = django
        self._queue = FairQueue(MAX_CONCURRENT, waiting=MAX_WAITING, per_address=MAX_WAITING_PER_ADDRESS)
        self._attempts = AttemptLimit(MAX_ATTEMPTS, ATTEMPT_INTERVAL)

    @staticmethod
    def handles(scope: dict[str, Any]) -> bool:
        """Return whether this request belongs here: it writes to a path that checks passwords."""
        return scope["path"].rstrip("/") in SUCCESS_STATUSES and scope["method"] not in ("GET", "HEAD", "OPTIONS")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        address = _address(scope)
        try:
            if wait := self._attempts.wait(address, time.monotonic()):
                raise LoginRefused(429, math.ceil(wait))
            body = await _body(scope, receive)
            gone = asyncio.ensure_future(receive())
            try:
                await self._queue.take(address, QUEUE_TIMEOUT)
                await self._ask(scope, address, _Replay(body, gone), send)
            finally:
                gone.cancel()
        except QueueFull:
            await _refuse(scope, send, LoginRefused(429, 5))
        except LoginRefused as error:
            await _refuse(scope, send, error)
        except ConnectionError:
            return  # the client has disconnected

    async def _ask(self, scope: dict[str, Any], address: str, replay: _Replay, send: Send) -> None:
        """Let Django respond. The turn ends with Django's work, before sending. A failed attempt is counted."""
        turn = contextlib.ExitStack()
        turn.callback(self._queue.release)
        with turn:
            if replay.gone.done():
                return
            self._attempts.use(address, time.monotonic())
            status = 0

            async def answer(message: dict[str, Any]) -> None:
                nonlocal status
                status = message.get("status", status)
                turn.close()
                await send(message)

            try:
                await self._django(scope, replay, answer)
            finally:
                if status == SUCCESS_STATUSES[scope["path"].rstrip("/")] or status >= 500:
                    self._attempts.use(address, time.monotonic(), -1)


class _Replay:
    """ASGI `receive` that returns the body that was already read, and then waits for the disconnect."""

    def __init__(self, body: bytes, gone: asyncio.Future[dict[str, Any]]) -> None:
        self._body: bytes | None = body
        self.gone = gone

    async def __call__(self) -> dict[str, Any]:
        if self._body is None:
            return await asyncio.shield(self.gone)
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _body(scope: dict[str, Any], receive: Receive) -> bytes:
    """Return the whole body. Raises LoginRefused, and ConnectionError if the client disconnects."""
    announced = dict(scope["headers"]).get(b"content-length", b"")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise LoginRefused(413)
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                body, more = body + message.get("body", b""), message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise LoginRefused(413)
    except TimeoutError:
        raise LoginRefused(408) from None
    return body


def _address(scope: dict[str, Any]) -> str:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    peer = scope["client"][0] if scope.get("client") else None
    return network_of(address_of(peer, ",".join(lines).split(","), proxies=settings.PROXY_COUNT) or "")


async def _refuse(scope: dict[str, Any], send: Send, error: LoginRefused) -> None:
    """Respond with a page for people or problem details for programs, and stop reading."""
    refused.labels(status=error.status).inc()
    words = WORDS[error.status].format(seconds=error.seconds)
    if scope["path"].startswith("/admin/"):
        page: str = render_to_string("429.html", {"words": words, "status": error.status})
        kind, body = "text/html; charset=utf-8", page.encode()
    else:
        kind, body = CONTENT_TYPE, orjson.dumps(problem(error.status, words))
    headers = DEFAULTS | {"content-type": kind, "content-length": str(len(body)), "connection": "close"}
    if error.seconds:
        headers["retry-after"] = str(error.seconds)
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
