"""An ingest that writes down what it was sent, and another origin's pages that send it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from events.api.script import FILE


class Site:
    """A server on a port of its own, and so an origin of its own. `page` is what every address shows."""

    page = ""
    headers: Mapping[str, str] = MappingProxyType({})  # of every answer

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Ingest(Site):
    """Answers with `status` and `answer`, and keeps events once by their id, as the real one does.

    More than `most_events` in a request are too many: 413.
    """

    answer = b"{}"
    most_events = 500

    def __init__(self) -> None:
        super().__init__()
        self.status = 202
        self.requests: list[dict[str, Any]] = []
        self.events: dict[str, dict[str, Any]] = {}

    def take(self, query: str, headers: Any, body: bytes) -> int:
        """Return the status of the answer."""
        request = {"key": parse_qs(query).get("write_key"), "type": headers["Content-Type"], "size": len(body)}
        events = json.loads(body)
        status = 413 if len(events) > self.most_events else self.status
        self.requests.append(request | {"events": len(events), "origin": headers["Origin"], "status": status})
        if status == 202:
            for event in events:
                self.events.setdefault(event["event_id"], {**event, "key": request["key"]})
        return status


def _handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_script = self.path == "/events/opsroom.js"
            kind = "text/javascript" if is_script else "text/html"
            self._answer(200, FILE.read_bytes() if is_script else site.page.encode(), kind)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert isinstance(site, Ingest)
            status = site.take(urlsplit(self.path).query, self.headers, body)
            self._answer(status, site.answer, "application/json")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Expose-Headers", "Retry-After")
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = lambda *_: None

    return Handler
