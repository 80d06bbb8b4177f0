"""Progress monitoring of a web process: its event loop and Django's threads (config/processes/watchdog_client.py).

The event loop reports progress, so that stops with the loop. The process also gives up if every thread of Django's pool
has made no progress for STUCK_TIMEOUT seconds. That is longer than any statement may take (statement_timeout), so the
threads are deadlocked, unless Postgres itself does not respond. In that case a new process would wait as well, so this
one keeps running: open WebSockets, and the ingest's responses, depend on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from django.conf import settings
from psycopg2 import OperationalError, connect

from config.processes.heartbeats import remove_heartbeat, write_heartbeat_soon
from config.processes.watchdog_client import PROGRESS_INTERVAL, RunningTime, watchdog

log = structlog.get_logger(__name__)

STUCK_TIMEOUT = 35.0  # seconds
PROBE_SECONDS = 3

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class RequestProgress:
    """WSGI application that records its progress: finished requests, and parts of responses."""

    def __init__(self, application: Application, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.application, self.threads = application, threads
        self.running: set[object] = set()  # changed by atomic operations only, so without a lock
        self.step = object()  # replaced at each step
        self._time = RunningTime(clock)
        self._seen, self._since = self.step, 0.0  # the last step that `is_stuck` saw, and when

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = object()
        self.running.add(request)
        try:
            answer = self.application(environ, start_response)
        except BaseException:
            self._ended(request)
            raise
        if getattr(
            answer, "streaming", False
        ):  # the rest of it needs none of these threads: config/server/wsgi_bridge.py
            self._ended(request)
            return answer
        return _Answer(answer, self, request)

    def _ended(self, request: object) -> None:
        self.running.discard(request)
        self.step = object()

    def is_stuck(self) -> bool:
        """Return whether all threads were busy without any progress for STUCK_TIMEOUT seconds.

        Call it every PROGRESS_INTERVAL seconds.
        """
        now = self._time.read()
        if len(self.running) < self.threads or self.step is not self._seen:
            self._seen, self._since = self.step, now
        return now - self._since > STUCK_TIMEOUT


class _Answer:
    """Response of the application, each part of which is a step."""

    streaming = False

    def __init__(self, answer: Iterable[bytes], progress: RequestProgress, request: object) -> None:
        self.answer, self.progress, self.request = answer, progress, request

    def __iter__(self) -> Iterator[bytes]:
        for part in self.answer:
            self.progress.step = object()
            yield part

    def close(self) -> None:
        try:
            close = getattr(self.answer, "close", None)
            if close is not None:
                close()
        finally:
            self.progress._ended(self.request)


async def lifespan(progress: RequestProgress, receive: Any, send: Any) -> None:
    """Beat from the server's start to its shutdown: ASGI's lifespan protocol."""
    await receive()
    beating = asyncio.create_task(_beat(progress))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    beating.cancel()
    await asyncio.to_thread(remove_heartbeat, "web")
    await send({"type": "lifespan.shutdown.complete"})


async def _beat(progress: RequestProgress) -> None:
    while True:
        if progress.is_stuck() and await asyncio.to_thread(postgres_answers) and progress.is_stuck():
            log.error("web_stuck", threads=progress.threads)
            watchdog.request_restart()
        elif watchdog.report_progress():
            write_heartbeat_soon("web")
        await asyncio.sleep(PROGRESS_INTERVAL)


def postgres_answers() -> bool:
    """Return whether Postgres accepts a new connection within PROBE_SECONDS."""
    database = settings.DATABASES["default"]
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    try:
        connect(**{name: database[key] or None for name, key in names.items()}, connect_timeout=PROBE_SECONDS).close()
    except OperationalError:
        return False
    return True
