"""A real web process on the test database, and real HTTP proxies in front of it."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
from django.conf import settings
from django.db import connection

from config.local.launcher import commands
from config.tests.ports import free_port

PATIENCE = 60.0  # seconds; only a failing test waits that long
SINGLE = ("host", "connection", "content-length")  # headers that a proxy writes itself


class Web:
    """One web process: its `port`, `url` and log."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.pid = 0
        self.url = f"http://127.0.0.1:{port}"

    def log(self) -> str:
        return self._log.read_text()


@contextlib.contextmanager
def web_process(folder: Path, **variables: str) -> Iterator[Web]:
    """Run uvicorn as `make run` does. The caller's test needs a transactional database."""
    web = Web(free_port(), folder / "web.log")
    argv = next(command.argv for command in commands(web.port) if command.name == "web")
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    env = os.environ | {
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "PORT": str(web.port),
        "CACHE_PREFIX": f"web-{web.port}",
    }
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *argv[1:]],
            cwd=settings.BASE_DIR, env=env | variables, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        web.pid = process.pid
        _wait_for(web, process)
        yield web
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_for(web: Web, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{web.url}/ping/", timeout=5).ok:
                return
        time.sleep(0.1)
    raise AssertionError(f"The web process does not answer: {web.log()}")


@contextlib.contextmanager
def forwarding_proxy(target: int, source: str) -> Iterator[int]:
    """Run a reverse proxy that appends its peer to X-Forwarded-For and connects from `source`; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection("127.0.0.1", target, source_address=(source, 0), timeout=PATIENCE)
            upstream.putrequest(self.command, self.path, skip_host=True)
            upstream.putheader("Host", self.headers["Host"])
            entries = [*self.headers.get_all("X-Forwarded-For", []), self.client_address[0]]
            upstream.putheader("X-Forwarded-For", ", ".join(entries))
            for name, value in self.headers.items():
                if name.lower() not in (*SINGLE, "x-forwarded-for"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            self._pass_back(upstream.getresponse())
            upstream.close()

        do_GET = do_POST

        def _pass_back(self, answer: http.client.HTTPResponse) -> None:
            body = answer.read()
            self.send_response_only(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
