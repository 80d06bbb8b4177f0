"""A statement in the event loop: what it returns, and what it says where Postgres refuses, or is away."""

import asyncio
import socket
from collections.abc import Iterator

import psycopg2
import pytest

from events.ingest import db_thread, statement
from events.ingest.db_thread import Unavailable
from events.ingest.statement import Statement

pytestmark = pytest.mark.django_db


def opened(prepare: str, execute: str) -> Iterator[Statement]:
    one = Statement("test-statement", prepare, execute)
    yield one
    one.close()


@pytest.fixture
def half():
    yield from opened("PREPARE half AS SELECT 100 / $1::int", "EXECUTE half (%s)")


@pytest.fixture
def slow():
    yield from opened("PREPARE slow AS SELECT pg_sleep($1::float)", "EXECUTE slow (%s)")


@pytest.fixture
def length():
    yield from opened("PREPARE length AS SELECT length($1::text)", "EXECUTE length (%s)")


@pytest.fixture
def silent(monkeypatch):
    """A server that takes connections, and never says a word."""
    server = socket.create_server(("127.0.0.1", 0))
    elsewhere = {"host": "127.0.0.1", "port": server.getsockname()[1], "dbname": "any", "user": "any"}
    monkeypatch.setattr(statement, "connection_parameters", lambda name: elsewhere)
    yield server
    server.close()


def cut(one: Statement) -> None:
    with psycopg2.connect(**db_thread.connection_parameters("test")) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [one._connection.info.backend_pid])
    other.close()


async def test_its_rows_come_back_again_and_again(half):
    assert [await half.run([divisor]) for divisor in ("50", "4")] == [[(2,)], [(25,)]]


async def test_what_postgres_refuses_is_the_values_fault_and_the_next_ones_pass(half):
    with pytest.raises(psycopg2.DataError):
        await half.run(["0"])

    assert await half.run(["10"]) == [(10,)]


async def test_what_cannot_be_prepared_is_refused_each_time(monkeypatch):
    monkeypatch.setattr(db_thread, "RETRY_PAUSE", 0.0)
    (broken,) = opened("PREPARE broken AS SELECT * FROM nowhere", "EXECUTE broken (%s)")
    for _ in range(2):
        with pytest.raises(psycopg2.ProgrammingError, match="nowhere"):
            await broken.run(["1"])


async def test_a_connection_that_was_cut_meanwhile_is_opened_anew_and_nobody_hears_of_it(half):
    await half.run(["1"])
    await asyncio.to_thread(cut, half)
    for _ in range(500):
        if half._connection is None:
            break
        await asyncio.sleep(0.01)

    assert half._connection is None  # noticed before anybody needs it
    assert await half.run(["1"]) == [(100,)]


async def test_a_connection_that_is_cut_under_way_is_unavailable_once(slow):
    await slow.run(["0"])
    under_way = asyncio.create_task(slow.run(["60"]))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(cut, slow)

    with pytest.raises(Unavailable):
        await under_way

    assert await slow.run(["0"]) == [("",)]


async def test_values_that_fill_the_socket_are_sent_part_by_part(length):
    assert await length.run(["x" * 20_000_000]) == [(20_000_000,)]


async def test_a_postgres_that_says_nothing_is_away_soon(half, silent, monkeypatch):
    monkeypatch.setattr(statement, "STATEMENT_TIMEOUT", 0.2)

    with pytest.raises(Unavailable):
        await half.run(["1"])


async def test_nobody_tries_again_at_once(half, monkeypatch):
    attempts = []

    def connect(**_):
        attempts.append(1)
        raise psycopg2.OperationalError("connection refused")

    monkeypatch.setattr(statement.psycopg2, "connect", connect)
    monkeypatch.setattr(db_thread, "RETRY_PAUSE", 60.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await half.run(["1"])

    assert len(attempts) == 1


async def test_whoever_is_stopped_in_the_middle_leaves_no_connection_that_is_busy(half, silent):
    task = asyncio.create_task(half.run(["1"]))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert half._connection is None


async def test_a_name_is_looked_up_before_it_is_connected_to_and_a_folder_is_not():
    assert {"hostaddr": "127.0.0.1"} in await statement._addresses({"host": "localhost", "port": 5432})
    assert await statement._addresses({"host": "/run/postgresql"}) == [{}]
    with pytest.raises(Unavailable):
        await statement._addresses({"host": "nobody.invalid", "port": 5432})
