"""One prepared statement, carried out in the event loop itself.

A few events keep Postgres busy for a millisecond. To hand them to a thread and back (events/line.py) costs as much
again, as two threads wait for the interpreter's lock by turns. psycopg2's asynchronous connections need no thread. They
commit each statement by itself, and know no COPY: what takes a transaction, or is large, goes by a Line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import psycopg2
import structlog
from psycopg2.extensions import POLL_OK, POLL_READ

from events.line import Attempts, Unavailable, parameters

log = structlog.get_logger(__name__)

LONGEST = 6.0  # seconds, connecting included: also a Postgres that is frozen is away by then
TOO_LARGE = "54"  # the class of Postgres' errors for what exceeds its own limits: the values' fault


class Statement:
    """A statement on a connection of its own, opened when it is first needed. It is run by one task at a time."""

    def __init__(self, name: str, prepare: str, execute: str) -> None:
        self.name, self._prepare, self._execute = name, prepare, execute
        self._connection: Any = None
        self._cursor: Any = None
        self._attempts = Attempts()

    async def run(self, values: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of the statement, which is committed.

        Raises Unavailable if Postgres is away: it may be committed, or not. Raises psycopg2.Error if Postgres refuses
        the values: nothing was done.
        """
        try:
            async with asyncio.timeout(LONGEST):
                return await self._run(values)
        except (psycopg2.OperationalError, psycopg2.InterfaceError, TimeoutError) as error:
            if (getattr(error, "pgcode", "") or "").startswith(TOO_LARGE):
                raise
            self.close()
            log.warning("events_postgres_away", line=self.name, error=str(error).strip())
            raise Unavailable(str(error)) from error
        except asyncio.CancelledError:
            self.close()  # in the middle of something
            raise

    async def _run(self, values: Sequence[str]) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            await self._connect()
        self._cursor.execute(self._execute, values)
        await self._ready()
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    async def _connect(self) -> None:
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
        self._cursor.execute(self._prepare)
        await self._ready()
        self._attempts.succeeded()

    async def _ready(self) -> None:
        """Wait until the connection has done what it does. Raises psycopg2.Error."""
        loop = asyncio.get_running_loop()
        while (state := self._connection.poll()) != POLL_OK:
            reading, socket_number = state == POLL_READ, self._connection.fileno()
            moved: asyncio.Future[None] = loop.create_future()
            (loop.add_reader if reading else loop.add_writer)(socket_number, _wake, moved)
            try:
                await moved
            finally:
                (loop.remove_reader if reading else loop.remove_writer)(socket_number)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _wake(moved: asyncio.Future[None]) -> None:
    if not moved.done():
        moved.set_result(None)


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
