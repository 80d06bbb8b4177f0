"""config/asgi.py with one more URL that does nothing, to measure the maximum rate of the same server."""

from __future__ import annotations

from typing import Any

from config.asgi import application as opsroom

ANSWER = b'{"accepted":1,"duplicates":0,"rejected":0,"results":[]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope.get("path") != "/nothing/":
        await opsroom(scope, receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
