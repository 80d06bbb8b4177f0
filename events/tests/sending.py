"""Drives the ingest as uvicorn would: one ASGI call a request, in an event loop of the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from events.ingest.asgi_app import Ingest

# No transaction around the test, as the ingest has connections of its own.
committed = pytest.mark.django_db(transaction=True)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sender:
    """Posts bodies with the key of `as_key`."""

    def __init__(self, app: Ingest, runner: asyncio.Runner) -> None:
        self.app, self.runner, self.key = app, runner, ""

    def post(self, body: Any, **headers: str) -> Answer:
        """Send bytes as they are, anything else as JSON."""
        return self.runner.run(self.call(body, **headers))

    def post_together(self, *bodies: Any) -> list[Answer]:
        """Send all of them at the same moment."""

        async def all_of_them() -> list[Answer]:
            return await asyncio.gather(*(self.call(body) for body in bodies))

        return self.runner.run(all_of_them())

    async def call(self, body: Any, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request(in_parts(content), **headers)

    async def request(
        self, receive: Callable[[], Awaitable[Any]], *, method: str = "POST", query: str = "", **headers: str
    ) -> Answer:
        """Headers are given as in Python: `content_type`."""
        given = {"authorization": f"Bearer {self.key}", "content_type": "application/json"} | headers
        scope = {
            "type": "http",
            "method": method,
            "path": "/events/",
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items() if value],
        }
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        if not sent:
            return Answer(0, {}, b"")
        start, end = sent
        return Answer(start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, end["body"])


def in_parts(*parts: bytes) -> Callable[[], Awaitable[Any]]:
    """A body that arrives in these parts."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return receive
