"""A page, a list and an export while other connections commit: rows committed before the start are all there, once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from core.rest.pagination import first_of
from events.factories import ApplicationFactory
from events.models import Application, Event
from events.query import export
from events.query.pages import first_rows
from events.query.time_slices import TimeSlices

pytestmark = pytest.mark.django_db(transaction=True)
OLD = 40
INSERT = """
    INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)
    SELECT %s + place, %s, gen_random_uuid(), 'mine', 'shop', 'order', '{"a": 1}',
        %s::timestamptz + place * interval '1 ms'
    FROM generate_series(1, %s) AS place
"""


@contextmanager
def second_connection() -> Iterator[psycopg2.extensions.connection]:
    other = psycopg2.connect(**{**connection.get_connection_params(), "cursor_factory": None})
    other.autocommit = True
    try:
        yield other
    finally:
        other.close()


def insert(to: psycopg2.extensions.connection, application: Application, first: int, number: int = 1) -> None:
    with to.cursor() as cursor:
        cursor.execute(INSERT, [first, application.pk, timezone.now() - timedelta(seconds=1), number])


@pytest.fixture
def shop() -> Application:
    return ApplicationFactory()


@pytest.fixture
def reader(superuser) -> APIClient:
    client = APIClient()
    client.force_authenticate(superuser)
    return client


@pytest.fixture
def arriving(shop):
    """Rows arrive, a hundred a second, until the test ends; `OLD` rows were there before."""
    ends = threading.Event()

    def write() -> None:
        with second_connection() as other:
            number = 10_000
            while not ends.wait(0.01):
                number += 1
                insert(other, shop, number)

    with second_connection() as other:
        insert(other, shop, 0, OLD)
    writer = threading.Thread(target=write)
    writer.start()
    yield
    ends.set()
    writer.join()


@pytest.mark.parametrize("read", [TimeSlices().first_rows, first_of])
def test_a_row_that_commits_between_two_statements_displaces_none(shop, read):
    with second_connection() as other:
        insert(other, shop, 0, OLD)
        seen: list[str] = []

        def another_row_commits(execute, sql, params, many, context):
            found = execute(sql, params, many, context)
            seen.append(sql)
            insert(other, shop, 1_000 + len(seen))
            return found

        with connection.execute_wrapper(another_row_commits):
            rows, more = read(Event.objects.order_by("-timestamp", "-id"), OLD, None)

    assert seen and {row.pk for row in rows} == set(range(1, OLD + 1)) and not more


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_has_all_rows_of_its_start_while_rows_arrive(arriving, form, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 16)
    for _ in range(20):
        assert_whole([id_of(line) for line in read_export(form)])


def test_postgres_stops_at_the_row_that_ends_a_page(shop):
    with second_connection() as other, other.cursor() as cursor:
        cursor.execute("TRUNCATE events_event CASCADE")  # the planner counts the space of deleted rows, too
        insert(other, shop, 0, 20_000)
        cursor.execute("ANALYZE events_event")
    asked: list[str] = []

    def keep(execute, sql, params, many, context):
        with connection.cursor() as cursor:
            asked.append(cursor.mogrify(sql, params).decode())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        first_rows([Event.objects.order_by("-timestamp", "-id")], 50)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {asked[-1]}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Run Condition" in plan and "Sort" not in plan.replace("Sort Key", ""), plan
    assert "rows=20000" not in plan, plan


def test_a_list_has_all_rows_of_its_start_while_rows_arrive(arriving, reader):
    for _ in range(10):
        Event.objects.filter(pk__gt=10_000).delete()  # the table stays small
        assert_whole(walked(reader, "/events/?page_size=500"))
        assert_whole(walked(reader, "/events/?page_size=16"))


@pytest.mark.chaos
def test_ten_thousand_reads_while_rows_arrive(arriving):
    before = set(range(1, OLD + 1))
    for number in range(10_000):
        if number % 50 == 0:
            Event.objects.filter(pk__gt=10_000).delete()  # the table stays small
        if number % 2:
            rows, _ = first_rows([Event.objects.order_by("-timestamp", "-id")], 2_000)
            found = [row.pk for row in rows]
        else:
            found = [id_of(line) for line in read_export("csv")]
        assert before <= set(found) and len(found) == len(set(found))


def assert_whole(found: list[int]) -> None:
    assert set(range(1, OLD + 1)) <= set(found)
    assert len(found) == len(set(found))


def read_export(form: str) -> list[bytes]:
    lines = b"".join(export.Export(Event.objects.all(), form)).splitlines()
    return lines[1:] if form == "csv" else lines


def id_of(line: bytes) -> int:
    return int(line.removeprefix(b'{"id":').split(b",")[0])


def walked(api: APIClient, address: str | None) -> list[int]:
    found: list[int] = []
    while address:
        page = api.get(address).json()
        found += [row["id"] for row in page["results"]]
        address = page["next"]
    return found
