"""A connection to Postgres in a thread of its own, for code that runs in the event loop.

It uses plain psycopg2, because the ingest uses COPY and no Django models. If Postgres is unreachable, callers get one
exception, Unavailable, and get it soon: connecting has a timeout, each statement has a timeout, and after a failed
attempt there is a pause without further attempts. Only a frozen Postgres gives no answer for as long as it is frozen,
so callers must set a time limit themselves.
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

RETRY_PAUSE = 0.5  # seconds without a connection attempt after a failed one
# Timeouts of the server, because a request waits for each statement and lock. KEEPALIVE closes the connection to a
# server that has disappeared without closing it.
SERVER_TIMEOUTS = "-c statement_timeout=5s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s"
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 6000}


class Unavailable(Exception):
    """Postgres is unreachable or did not answer in time. The statement may or may not have been committed."""


class ConnectAttempts:
    """Permits connection attempts. After a failed one it refuses others for RETRY_PAUSE, so that callers fail fast."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def begin(self) -> None:
        """Register an attempt. Raises Unavailable within RETRY_PAUSE of an attempt that did not succeed."""
        if time.monotonic() < self._not_before:
            raise Unavailable("Postgres was away a moment ago.")
        self._not_before = time.monotonic() + RETRY_PAUSE

    def succeeded(self) -> None:
        self._not_before = 0.0


class DatabaseThread:
    def __init__(self, name: str) -> None:
        self.name = name
        self._thread: ThreadPoolExecutor | None = None
        self._connection: Any = None
        self._attempts = ConnectAttempts()

    async def run(self, work: Callable[[Any], Result]) -> Result:
        """Run `work(connection)` in the thread and return its result. The connection is in autocommit mode.

        Raises Unavailable.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[Any], Result]) -> Result:
        try:
            return work(self._connected())
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            # A timeout or a deadlock needs no new connection, but a new one is cheap, and it is always correct.
            self._disconnect()
            log.warning("events_postgres_away", connection=self.name, error=str(error).strip())
            raise Unavailable(str(error)) from error

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._attempts.begin()
            self._connection = psycopg2.connect(**connection_parameters(self.name))
            self._connection.autocommit = True
            self._attempts.succeeded()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close the connection after the work in progress, and wait until it is closed."""
        if self._thread is not None:
            self._thread.submit(self._disconnect)
            self._thread.shutdown(wait=True)
            self._thread = None


def connection_parameters(name: str) -> dict[str, Any]:
    """Return Django's connection parameters, with the timeouts of the ingest."""
    given = direct_connections.parameters()  # direct, because the ingest prepares statements
    given.pop("cursor_factory", None)
    return given | KEEPALIVE | {"application_name": name, "options": SERVER_TIMEOUTS, "connect_timeout": 3}
