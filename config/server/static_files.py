"""Static files, by whitenoise, outside Django's threads: slow clients of large files do not occupy them.

Source maps are not served: pages do not need them, and they are the largest files.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware

from config.middleware import DEFAULTS
from config.server.response_buffer import HungUp
from config.server.response_sender import FileBody, Receive, Send, hang_up, send_file
from core.http.problem import send_problem

SOURCE_MAPS = (".map", ".map.gz", ".map.br")


class StaticFiles:
    """ASGI application for paths below STATIC_URL. whitenoise provides files, headers and ranges."""

    def __init__(self) -> None:
        self._whitenoise = WhiteNoiseMiddleware(get_response=None, settings=settings)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        file = None if scope["path"].endswith(SOURCE_MAPS) else self._find(scope["path"])
        if file is None:
            await send_problem(send, 404, "There is no such file.")
            return
        asked = {_variable(name): value.decode("latin-1") for name, value in scope["headers"]}
        found = file.get_response(scope["method"], asked)
        head = {"type": "http.response.start", "status": int(found.status), "headers": _headers(found.headers)}
        try:
            await send_file(lambda: head, FileBody(found.file or BytesIO()), receive, send)
        except HungUp:
            await hang_up(send)

    def _find(self, path: str) -> Any:
        if self._whitenoise.autorefresh:
            return self._whitenoise.find_file(path)
        return self._whitenoise.files.get(path)


def _headers(own: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return whitenoise's headers, with defaults for those it does not set."""
    headers = {name.lower(): value for name, value in own}
    defaults = {name.lower(): value for name, value in DEFAULTS.items()}
    return [(name.encode(), value.encode("latin-1")) for name, value in (defaults | headers).items()]


def _variable(name: bytes) -> str:
    """Return a header's name in WSGI form, which whitenoise expects."""
    return "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
