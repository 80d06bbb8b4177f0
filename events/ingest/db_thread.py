"""One connection to Postgres in one thread, for those who live in the event loop.

Plain psycopg2, because the ingest speaks COPY and knows nothing of models. Postgres away is one exception, Unavailable,
which comes soon: connecting has a timeout, so has each statement, and after a failed attempt nobody tries for a moment.
Only a Postgres that is frozen says nothing for as long as it is: whoever waits has a limit of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg2
import structlog

from core.database import direct_connections

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

PAUSE = 0.5  # seconds without another attempt after one that failed
# Whoever waits for an answer waits for these. The last one is for a peer that vanished without a word.
LIMITS = "-c statement_timeout=5s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s"
VANISHED = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 6000}


class Unavailable(Exception):
    """Postgres is away, or did not answer in time. What was asked of it may or may not have been done."""


class ConnectAttempts:
    """To connect: after one that failed there is none for a moment, so that those who wait hear soon."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def begin(self) -> None:
        """Raises Unavailable."""
        if time.monotonic() < self._not_before:
            raise Unavailable("Postgres was away a moment ago.")
        self._not_before = time.monotonic() + PAUSE

    def succeeded(self) -> None:
        self._not_before = 0.0


class DatabaseThread:
    def __init__(self, name: str) -> None:
        self.name = name
        self._thread: ThreadPoolExecutor | None = None
        self._connection: Any = None
        self._attempts = ConnectAttempts()

    async def run(self, work: Callable[[Any], Result]) -> Result:
        """Return what `work(connection)` returns; the connection commits by itself. Raises Unavailable."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[Any], Result]) -> Result:
        try:
            return work(self._connected())
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            # A timeout or a deadlock would not need a new connection, but one is cheap, and this is always right.
            self._disconnect()
            log.warning("events_postgres_away", line=self.name, error=str(error).strip())
            raise Unavailable(str(error)) from error

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._attempts.begin()
            self._connection = psycopg2.connect(**parameters(self.name))
            self._connection.autocommit = True
            self._attempts.succeeded()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Hang up after what is under way, and wait for that."""
        if self._thread is not None:
            self._thread.submit(self._disconnect)
            self._thread.shutdown(wait=True)
            self._thread = None


def parameters(name: str) -> dict[str, Any]:
    """How Django connects, within our own limits of time."""
    given = direct_connections.parameters()  # its statements are prepared
    given.pop("cursor_factory", None)
    return given | VANISHED | {"application_name": name, "options": LIMITS, "connect_timeout": 3}
