"""`/ping/` and `/health/` in the event loop: both respond however busy Django's threads are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from config.middleware import DEFAULTS
from config.monitoring.health import ping_body, shared
from config.server.response_sender import Receive, Send


class HealthEndpoint:
    """ASGI application for both paths. config/monitoring/health.py has equivalent views for other servers."""

    @staticmethod
    def handles(scope: dict[str, Any]) -> bool:
        return scope["path"].rstrip("/") in ("/ping", "/health") and scope["method"] in ("GET", "HEAD")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        status, found = 200, ping_body()
        if scope["path"].startswith("/health"):
            status, found = await asyncio.shield(asyncio.wrap_future(shared.take()))
        body = json.dumps(found).encode()
        headers = DEFAULTS | {"Content-Type": "application/json", "Content-Length": str(len(body))}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})
