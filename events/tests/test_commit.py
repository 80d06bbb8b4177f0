"""What the store does when Postgres refuses, is away, is slow, or has too much to do."""

import asyncio
import json
import time
from types import SimpleNamespace
from uuid import UUID

import psycopg2
import pytest
from django.db import connection

from events.factories import EventTypeFactory, WriteKeyFactory
from events.ingest import asgi_app, db_thread, registry
from events.ingest.bulk_insert import Store
from events.ingest.db_thread import Unavailable
from events.ingest.rate_limit import ApplicationRateLimit
from events.models import Application, Batch, Event, RejectedEvent
from events.tests.sending import committed
from events.validation.event import read
from events.validation.rules import ApplicationSettings, Rules

pytestmark = committed


@pytest.fixture
def raw_connection(db):
    connection = psycopg2.connect(**db_thread.connection_parameters("test"))
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def many(pageview):
    """Bodies of right events, each with an id of its own."""
    return [pageview | {"event_id": str(UUID(int=place))} for place in range(200)]


@pytest.mark.parametrize("number", [3, 200])
def test_what_only_postgres_refuses_is_kept_and_its_neighbours_are_stored(raw_connection, write_key, many, number):
    rules = Rules.for_application(ApplicationSettings(write_key.application_id), {})
    items = read(json.dumps(many[:number]).encode(), rules)
    items[1].session_id = "x" * 101  # as if a check were missing

    assert Store().write(raw_connection, items) == ["accepted", "rejected"] + ["accepted"] * (number - 2)
    assert Event.objects.count() == number - 1
    rejected = RejectedEvent.objects.get()
    assert (rejected.code, bytes(rejected.raw)) == ("unstorable", json.dumps(many[1]).encode())
    assert sum(Batch.objects.values_list("events", flat=True)) == number - 1


def test_events_of_an_application_that_was_deleted_are_nowhere(raw_connection, write_key, many):
    rules = Rules.for_application(ApplicationSettings(write_key.application_id + 1), {})

    items = read(json.dumps(many[:3]).encode(), rules)

    assert set(Store().write(raw_connection, items)) == {"gone"}
    assert not Event.objects.exists() and not Batch.objects.exists()


def test_two_writers_of_the_same_events_in_another_order_do_not_block_each_other(sender, many):
    first, second = sender.post_together(*[many, many[::-1]] * 10)[:2]

    assert first.json["accepted"] + second.json["accepted"] <= 200
    assert Event.objects.count() == 200


def break_lines(sender, monkeypatch):
    """From now on Postgres is away."""

    def connect(**_):
        raise psycopg2.OperationalError("connection refused")

    monkeypatch.setattr(db_thread.psycopg2, "connect", connect)
    for one in [*(writer.thread for writer in sender.app._writers), sender.app._registry_thread]:
        one._disconnect()
    for writer in sender.app._writers:
        writer.statement.close()


def test_postgres_away_is_503_and_back_is_202(sender, pageview, monkeypatch):
    sender.post(pageview | {"event_id": None})
    with monkeypatch.context() as patched:
        break_lines(sender, patched)
        away = sender.post(pageview)

    until = time.monotonic() + 10
    while (back := sender.post(pageview)).status == 503:
        assert time.monotonic() < until
        time.sleep(0.05)

    assert away.status == 503
    assert 1 <= int(away.headers["retry-after"]) <= 4
    assert (back.status, back.json["accepted"]) == (202, 1)


def test_with_postgres_away_a_key_that_nobody_knows_is_not_denied(sender, pageview, monkeypatch):
    sender.post(pageview)
    break_lines(sender, monkeypatch)
    sender.key = "wk_made-this-second"

    assert sender.post(pageview).status == 503


def test_with_postgres_away_from_the_start_nothing_is_taken(sender, pageview, monkeypatch):
    break_lines(sender, monkeypatch)

    assert sender.post(pageview).status == 503


def test_a_connection_that_was_cut_is_replaced(sender, pageview):
    sender.post(pageview | {"event_id": None})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'ingest-_%' AND datname = current_database()"  # others test beside us
        )

    statuses = [sender.post(pageview | {"event_id": None}).status for _ in range(6)]

    assert set(statuses) <= {202, 503} and statuses[-1] == 202
    assert Event.objects.count() == 1 + statuses.count(202)


def test_whoever_would_wait_too_long_is_told_that_nobody_knows(sender, pageview, monkeypatch):
    sender.post(pageview | {"event_id": None})
    monkeypatch.setattr(asgi_app, "RESPONSE_TIMEOUT", 0.3)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE events_batch")
        answer = sender.post(pageview)
        cursor.execute("ROLLBACK")

    assert answer.status == 503
    while (again := sender.post(pageview)).status == 503:
        time.sleep(0.05)
    assert (again.json["accepted"] + again.json["duplicates"], Event.objects.count()) == (1, 2)


def test_whoever_gives_up_leaves_nothing_in_the_queue(sender, many, monkeypatch):
    sender.post(many[0])
    monkeypatch.setattr(asgi_app, "RESPONSE_TIMEOUT", 0.3)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE events_batch")
        answers = sender.post_together(*many[1:20])
        cursor.execute("ROLLBACK")

    assert {answer.status for answer in answers} == {503}
    assert not sender.app._commit._waiting and sender.app._commit._rows == 0


def test_nobody_waits_longer_for_keys_than_for_an_answer(sender, pageview, monkeypatch):
    sender.post(pageview)
    monkeypatch.setattr(asgi_app, "RESPONSE_TIMEOUT", 0.3)
    monkeypatch.setattr(registry, "MAX_AGE", 0.0)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE events_writekey")
        answer = sender.post(pageview)
        cursor.execute("ROLLBACK")

    assert answer.status == 503


def test_more_than_can_be_held_is_503_and_what_was_taken_is_stored(sender, many, monkeypatch):
    monkeypatch.setattr(sender.app.limits, "max_weight", 1_000_000)
    bodies = [
        [event | {"event_id": str(UUID(int=place * 1000 + at))} for at, event in enumerate(many)] for place in range(20)
    ]

    answers = sender.post_together(*bodies)

    statuses = [answer.status for answer in answers]
    assert set(statuses) == {202, 503}
    assert Event.objects.count() == 200 * statuses.count(202)
    assert sender.app.limits.weight == len(sender.app.limits.running) == 0


def test_more_requests_than_can_be_under_way_are_503(sender, pageview, monkeypatch):
    sender.post(pageview)
    monkeypatch.setattr(sender.app.limits, "max_requests", 3)

    statuses = [answer.status for answer in sender.post_together(*[pageview] * 10)]

    assert statuses.count(202) == 3 and statuses.count(503) == 7


def test_small_requests_do_not_wait_for_large_ones(sender, raw_connection, write_key, many):
    large = many[0] | {"data": {"text": "x" * (asgi_app.MIN_LARGE_BYTES + 1)}}
    raw_connection.autocommit = False
    with raw_connection.cursor() as cursor:  # whoever writes the same event waits for this transaction to end
        cursor.execute(
            "INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)"
            " VALUES (1000000, %s, %s, 's', 'c', 'n', '{}', %s)",
            [write_key.application_id, large["event_id"], large["timestamp"]],
        )

    async def small_while_large_waits() -> list[int]:
        waiting = [asyncio.create_task(sender.call(large)) for _ in range(asgi_app.WRITERS + 1)]
        while len(sender.app._commit_large._idle) == asgi_app.WRITERS:  # noqa: ASYNC110  until one is being written
            await asyncio.sleep(0.01)
        small = await sender.call(many[1])
        assert not any(one.done() for one in waiting)
        raw_connection.rollback()
        return [small.status, *[(await one).status for one in waiting]]

    assert sender.runner.run(small_while_large_waits()) == [202] * (asgi_app.WRITERS + 2)


def test_many_requests_share_a_commit(sender, many):
    sender.post(many[0])

    sender.post_together(*many[1:])

    assert Event.objects.count() == 200
    assert Batch.objects.count() < 30


def test_a_key_works_as_soon_as_it_is_made(sender, pageview):
    sender.post(pageview)
    WriteKeyFactory(secret="wk_new")
    sender.key = "wk_new"

    assert sender.post(pageview).status == 202


@pytest.mark.parametrize("change", ["pause", "schema"])
def test_a_change_counts_within_two_seconds(sender, pageview, change, monkeypatch):
    moment = 100.0
    monkeypatch.setattr(registry, "time", SimpleNamespace(monotonic=lambda: moment))
    sender.post(pageview)
    if change == "pause":
        Application.objects.update(paused=True)
    else:
        EventTypeFactory(name="pageview", schema={"required": ["referrer"]})
    moment += 2.001

    answer = sender.post(pageview | {"event_id": None})

    assert answer.status == (401 if change == "pause" else 202)
    assert change == "pause" or answer.json["rejected"] == 1


def test_a_schema_that_cannot_be_used_keeps_its_events_among_the_rejected(sender, pageview):
    EventTypeFactory(name="pageview", schema={"type": "nonsense"})

    assert sender.post(pageview).json["rejected"] == 1


def test_a_bucket_fills_up_again_and_debts_are_paid_off_first():
    now = 100.0
    buckets = ApplicationRateLimit(lambda: now)

    buckets.take(1, 10, 30)
    waits = [buckets.wait(1, 10)]
    now += 2.1
    waits.append(buckets.wait(1, 10))
    now += 60
    buckets.take(1, 10, 9)
    waits.append(buckets.wait(1, 10))

    assert waits == [2, 0, 0]
    assert buckets.wait(1, 0) == 0


def test_a_line_does_not_try_again_at_once(monkeypatch):
    attempts = []

    def connect(**_):
        attempts.append(1)
        raise psycopg2.OperationalError("connection refused")

    monkeypatch.setattr(db_thread.psycopg2, "connect", connect)
    one = db_thread.DatabaseThread("test")

    async def three_times():
        for _ in range(3):
            with pytest.raises(Unavailable):
                await one.run(lambda _: None)

    asyncio.run(three_times())
    one.close()

    assert len(attempts) == 1
