"""One prepared statement, carried out in the event loop itself.

A few events keep Postgres busy for a millisecond. To hand them to a thread and back (events/ingest/db_thread.py) costs
as much again, as two threads wait for the interpreter's lock by turns. psycopg2's asynchronous connections need no
thread. They commit each statement by itself, and know no COPY: what takes a transaction, or is large, goes by a Line.
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

from events.ingest.db_thread import ConnectAttempts, Unavailable, parameters
from events.ingest.request_limits import RequestLimits

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT = 6.0  # seconds, connecting included: also a Postgres that is frozen is away by then
DEADLOCK = "40P01"
TOO_LARGE = "54"  # the class of Postgres' errors for what exceeds its own limits: the values' fault


class Statement:
    """A statement on a connection of its own, opened when it is first needed. It is run by one task at a time.

    The event loop listens to an open connection all the time: to begin and to end with that costs a small statement a
    tenth of its own, and so a server that hangs up meanwhile is noticed before the next statement.
    """

    def __init__(self, name: str, prepare: str, execute: str) -> None:
        self.name, self._prepare, self._execute = name, prepare, execute
        self._connection: Any = None
        self._cursor: Any = None
        self._attempts = ConnectAttempts()
        self._limits = RequestLimits()
        self._answer: asyncio.Future[None] | None = None  # which somebody waits for
        self._stop_listening: Callable[[], object] | None = None

    async def run(self, values: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of the statement, which is committed.

        Raises Unavailable if Postgres is away: it may be committed, or not. Raises psycopg2.Error if Postgres refuses
        the values, or after a deadlock: nothing was done.
        """
        try:
            with self._limits.limit(STATEMENT_TIMEOUT):
                if self._connection is None or self._connection.closed:
                    await self._connect()
                self._cursor.execute(self._execute, values)
                await self._answered()
                rows: list[tuple[Any, ...]] = self._cursor.fetchall()
                return rows
        except (psycopg2.OperationalError, psycopg2.InterfaceError, TimeoutError) as error:
            if (getattr(error, "pgcode", "") or "").startswith((TOO_LARGE, DEADLOCK)):
                raise
            self.close()
            log.warning("events_postgres_away", line=self.name, error=str(error).strip())
            raise Unavailable(str(error)) from error
        except asyncio.CancelledError:
            self.close()  # in the middle of something
            raise

    async def _connect(self) -> None:
        self.close()
        self._attempts.begin()
        given = parameters(self.name)
        addresses = await _addresses(given)
        for address in addresses:
            try:
                self._connection = psycopg2.connect(**given, **address, async_=1)
                await self._ready()
                break
            except psycopg2.OperationalError:
                self.close()
                if address is addresses[-1]:
                    raise
        self._cursor = self._connection.cursor()
        try:
            self._cursor.execute(self._prepare)
            await self._ready()
        except psycopg2.Error:
            self.close()  # without the statement it is of no use
            raise
        self._listen()
        self._attempts.succeeded()

    async def _ready(self) -> None:
        """Wait until the connection has done what it does. Raises psycopg2.Error."""
        while (state := self._connection.poll()) != POLL_OK:
            await _moves(self._connection, state)

    async def _answered(self) -> None:
        """Wait until the connection, which is listened to, has done what it does. Raises psycopg2.Error."""
        connection = self._connection
        while (state := connection.poll()) == POLL_WRITE:  # it is more than a socket holds
            await _moves(connection, state)
        if state != POLL_OK:
            self._answer = asyncio.get_running_loop().create_future()
            try:
                await self._answer
            finally:
                self._answer = None

    def _listen(self) -> None:
        loop, socket_number = asyncio.get_running_loop(), self._connection.fileno()
        loop.add_reader(socket_number, self._hear)
        self._stop_listening = partial(loop.remove_reader, socket_number)

    def _hear(self) -> None:
        """Take in what the server says. Unasked, it only says good-bye."""
        answer = self._answer if self._answer is not None and not self._answer.done() else None
        try:
            if self._connection.poll() == POLL_OK and answer is not None:
                answer.set_result(None)
        except psycopg2.Error as error:
            if answer is not None:
                answer.set_exception(error)
            else:
                self.close()

    def close(self) -> None:
        """Hang up, in the event loop or after its end."""
        connection, self._connection = self._connection, None
        stop_listening, self._stop_listening = self._stop_listening, None
        if stop_listening is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                stop_listening()
        if connection is not None:
            connection.close()


async def _moves(connection: Any, state: int) -> None:
    """Wait once until it can be read from, or written to."""
    # Each time anew: while it is being opened, a connection may go from one socket to another.
    loop, reading, socket_number = asyncio.get_running_loop(), state == POLL_READ, connection.fileno()
    moved = asyncio.Event()
    (loop.add_reader if reading else loop.add_writer)(socket_number, moved.set)
    try:
        await moved.wait()
    finally:
        (loop.remove_reader if reading else loop.remove_writer)(socket_number)


async def _addresses(given: dict[str, Any]) -> list[dict[str, str]]:
    """Look the host up beforehand: libpq would stop the event loop for that."""
    host = given.get("host") or ""
    if not host or host.startswith("/"):
        return [{}]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, given.get("port"), type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(str(error)) from error
    return [{"hostaddr": str(address[0])} for *_, address in found]
