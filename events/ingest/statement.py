"""A prepared statement that is executed in the event loop, without a thread.

Postgres needs about a millisecond for a few events. Passing them to a thread and back (events/ingest/db_thread.py)
costs the same again, because two threads alternately wait for the interpreter's lock. An asynchronous connection of
psycopg2 needs no thread. It commits each statement by itself and does not support COPY, so transactions and large
groups use a DatabaseThread.

asyncpg 0.32 in place of this module was slower: a statement of one event took 189 instead of 153 µs of processor
time, and the ingest stored 26 to 32 % fewer single events per second in the same minutes (batches: the same). psycopg 3
cannot be installed beside psycopg2, because Django then uses it for everything. So this module stays until one of them
is as fast for single events.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg2
import structlog
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

from events.ingest.db_thread import ConnectAttempts, Unavailable, connection_parameters
from events.ingest.request_limits import RequestLimits

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT = 6.0  # seconds, including connecting; then even a frozen Postgres counts as unreachable
DEADLOCK = "40P01"
TOO_LARGE = "54"  # SQLSTATE class "program limit exceeded": the values are the cause, not the connection


class Statement:
    """A prepared statement on a connection of its own, which is opened on first use. One task at a time runs it.

    The event loop watches the socket of an open connection all the time. Adding and removing that watcher would cost a
    tenth of a small statement. It also detects a server that closes the connection before the next statement.
    """

    def __init__(self, name: str, prepare: str, execute: str) -> None:
        self.name, self._prepare, self._execute = name, prepare, execute
        self._connection: Any = None
        self._cursor: Any = None
        self._attempts = ConnectAttempts()
        self._limits = RequestLimits()
        self._result: asyncio.Future[None] | None = None  # set while a task waits for the server
        self._unwatch_socket: Callable[[], object] | None = None

    async def run(self, values: Sequence[str]) -> list[tuple[Any, ...]]:
        """Execute and commit the statement; return its rows.

        Raises Unavailable if Postgres is unreachable; the statement may or may not be committed then. Raises
        psycopg2.Error if Postgres refuses the values, or after a deadlock; nothing is committed then.
        """
        try:
            with self._limits.limit(STATEMENT_TIMEOUT):
                if self._connection is None or self._connection.closed:
                    await self._connect()
                self._cursor.execute(self._execute, values)
                await self._wait_for_result()
                rows: list[tuple[Any, ...]] = self._cursor.fetchall()
                return rows
        except (psycopg2.OperationalError, psycopg2.InterfaceError, TimeoutError) as error:
            if (getattr(error, "pgcode", "") or "").startswith((TOO_LARGE, DEADLOCK)):
                raise
            self.close()
            log.warning("events_postgres_away", connection=self.name, error=str(error).strip())
            raise Unavailable(str(error)) from error
        except asyncio.CancelledError:
            self.close()  # a statement may be unfinished, so the connection cannot be used again
            raise

    async def _connect(self) -> None:
        self.close()
        self._attempts.begin()
        given = connection_parameters(self.name)
        addresses = await _addresses(given)
        for address in addresses:
            try:
                self._connection = psycopg2.connect(**given, **address, async_=1)
                await self._wait_until_ready()
                break
            except psycopg2.OperationalError:
                self.close()
                if address is addresses[-1]:
                    raise
        self._cursor = self._connection.cursor()
        try:
            self._cursor.execute(self._prepare)
            await self._wait_until_ready()
        except psycopg2.Error:
            self.close()  # the connection is useless without the prepared statement
            raise
        self._watch_socket()
        self._attempts.succeeded()

    async def _wait_until_ready(self) -> None:
        """Wait until the connection has finished its current operation. Raises psycopg2.Error."""
        while (state := self._connection.poll()) != POLL_OK:
            await _wait_for_socket(self._connection, state)

    async def _wait_for_result(self) -> None:
        """Wait for the result of the statement, on a connection whose socket is watched. Raises psycopg2.Error."""
        connection = self._connection
        while (state := connection.poll()) == POLL_WRITE:  # the statement is larger than the socket's buffer
            await _wait_for_socket(connection, state)
        if state != POLL_OK:
            self._result = asyncio.get_running_loop().create_future()
            try:
                await self._result
            finally:
                self._result = None

    def _watch_socket(self) -> None:
        loop, socket_number = asyncio.get_running_loop(), self._connection.fileno()
        loop.add_reader(socket_number, self._on_readable)
        self._unwatch_socket = partial(loop.remove_reader, socket_number)

    def _on_readable(self) -> None:
        """Read what the server has sent: a result, or, while no statement runs, the end of the connection."""
        result = self._result if self._result is not None and not self._result.done() else None
        try:
            if self._connection.poll() == POLL_OK and result is not None:
                result.set_result(None)
        except psycopg2.Error as error:
            if result is not None:
                result.set_exception(error)
            else:
                self.close()

    def close(self) -> None:
        """Close the connection. It can be called in the event loop and after the loop has ended."""
        connection, self._connection = self._connection, None
        unwatch, self._unwatch_socket = self._unwatch_socket, None
        if unwatch is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                unwatch()
        if connection is not None:
            connection.close()


async def _wait_for_socket(connection: Any, state: int) -> None:
    """Wait until the connection's socket is readable (POLL_READ) or writable (POLL_WRITE)."""
    # The watcher is added for each call, because a connection that is being opened may switch to another socket.
    loop, reading, socket_number = asyncio.get_running_loop(), state == POLL_READ, connection.fileno()
    ready = asyncio.Event()
    (loop.add_reader if reading else loop.add_writer)(socket_number, ready.set)
    try:
        await ready.wait()
    finally:
        (loop.remove_reader if reading else loop.remove_writer)(socket_number)


async def _addresses(given: dict[str, Any]) -> list[dict[str, str]]:
    """Resolve the host name, because libpq would block the event loop while it does. Raises Unavailable."""
    host = given.get("host") or ""
    if not host or host.startswith("/"):
        return [{}]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, given.get("port"), type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(str(error)) from error
    return [{"hostaddr": str(address[0])} for *_, address in found]
