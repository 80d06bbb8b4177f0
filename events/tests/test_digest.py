"""The digest: every event in its session and its minute, once."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from django.db import connection, transaction
from django.utils import timezone

from events.factories import ApplicationFactory
from events.ingest import db_thread
from events.models import Batch, Minute, Session
from events.rollups import digest
from events.storage import partitions
from events.tests.counting import NOON, assert_all_counted, commit
from live.models import OutboxMessage as Message

pytestmark = pytest.mark.django_db


def test_sessions_and_minutes_come_from_batches():
    application = ApplicationFactory()
    mine = {"application": application, "session_id": "mine"}
    commit([{**mine, "timestamp": NOON}, {**mine, "timestamp": NOON + timedelta(minutes=3)}])
    commit([{**mine, "timestamp": NOON - timedelta(days=400)}, {"session_id": "yours"}], [{"application": application}])

    done = digest.run()

    assert (done.batches, done.events, done.rejected) == (2, 4, 1)
    session = Session.objects.get(pk="mine")
    assert (session.event_count, session.last_seen - session.first_seen) == (3, timedelta(days=400, minutes=3))
    assert_all_counted()


def test_a_second_delivery_finds_nothing_left_to_count():
    commit([{}, {}])

    digest.run()
    again = digest.run()

    assert again.batches == 0
    assert_all_counted()


def test_a_rejected_event_counts_in_the_minute_it_came():
    commit([], [{"category": "", "name": ""}, {}])

    digest.run()

    assert sum(Minute.objects.values_list("rejected", flat=True)) == 2
    assert not Session.objects.exists()
    assert_all_counted()


def test_lag_is_the_age_of_the_oldest_batch():
    assert digest.lag() == 0.0
    commit([{}])
    Batch.objects.update(created_at=timezone.now() - timedelta(minutes=5))

    assert 300 <= digest.lag() < 310


def test_watchers_hear_once_how_much_was_counted_and_what_was_wrong():
    application = ApplicationFactory(name="Website")
    wrong = {"application": application, "code": "required", "pointer": "/data"}
    commit([{}], [wrong, {**wrong}, {**wrong, "code": "type"}])

    digest.run()

    told = [(message.type, message.data) for message in Message.objects.order_by("pk")]
    assert [type for type, _ in told] == ["events.digested", "event.rejected", "event.rejected"]
    assert '"application_name":"Website"' in told[1][1] and '"count":2' in told[1][1]


def test_a_digest_that_dies_has_counted_nothing():
    commit([{}])

    with pytest.raises(RuntimeError), transaction.atomic():
        digest.run()
        raise RuntimeError

    assert Batch.objects.count() == 1
    assert not Session.objects.exists()
    digest.run()
    assert_all_counted()


def test_only_the_partitions_of_a_batch_are_read():
    commit([{}])
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE events_event_y2030 PARTITION OF events_event FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')"
        )
        values = {"ids": [1], "first": [NOON], "last": [NOON], "rows": 4096}
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) SELECT 1 {digest._HAPPENED}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "events_event_y2030" not in plan or "never executed" in plan


def test_a_batch_is_found_by_its_ids_however_long_its_time():
    with connection.cursor() as cursor:
        # Rows that other tests rolled back stay in the files, and a larger index looks more expensive to the planner.
        cursor.execute("TRUNCATE events_event_default")
    application = ApplicationFactory()
    batch = commit([{"application": application, "timestamp": NOON - timedelta(days=20)}, {"timestamp": NOON}])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)"
            " SELECT 10000000 + place, %s, gen_random_uuid(), place, 'a', 'b', '{}', %s::timestamptz - place * %s"
            " FROM generate_series(1, 3000) AS place",
            [application.pk, NOON, timedelta(minutes=1)],
        )
        cursor.execute("ANALYZE events_event")  # nor do their statistics count
        cursor.execute(f"EXPLAIN (COSTS OFF) SELECT event.* {digest._HAPPENED}", digest._values([batch]))
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "events_event_default_pkey" in plan and "events_event_default_timestamp_id_idx" not in plan


@contextmanager
def several(number: int, work) -> None:
    """Run `work` in as many threads, each with a connection of its own, and raise what any of them raised."""
    errors: list[BaseException] = []

    def one() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_count_everything_once():
    application = ApplicationFactory()
    for number in range(60):
        shared = [{"application": application, "session_id": f"s{(number + step) % 5}"} for step in range(4)]
        commit(shared, [{"application": application}])

    def work() -> None:
        while digest.digest_some(at_once=3).batches:
            pass

    with several(4, work):
        work()

    assert_all_counted()


@pytest.mark.django_db(transaction=True)
def test_rows_that_leave_the_default_partition_while_a_digest_waits_are_counted():
    commit([{"session_id": "mine"}, {"session_id": "mine"}])
    moving, moved = psycopg2.connect(**db_thread.connection_parameters("test")), threading.Event()
    months = {"first": datetime(2026, 5, 1, tzinfo=UTC), "end": datetime(2026, 6, 1, tzinfo=UTC)}
    try:
        with moving.cursor() as cursor:
            cursor.execute("LOCK TABLE events_event IN SHARE UPDATE EXCLUSIVE MODE")
            cursor.execute(partitions._CREATE.format(name="events_event_y2026m05"), months)

        def count() -> None:
            digest.run()
            moved.set()

        with several(1, count):
            while not waits_for_a_lock() and not moved.is_set():
                pass
            moving.commit()
        assert moved.is_set()
        assert_all_counted()
    finally:
        moving.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS events_event_y2026m05")


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events_event_default'::regclass"
        )
        return cursor.fetchone()[0] > 0
