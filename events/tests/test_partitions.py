"""Months: made ahead, also where their rows are there already; dropped without keeping the ingest waiting."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from events import tasks
from events.factories import ApplicationFactory, EventFactory, RejectedEventFactory
from events.models import Event, Minute, RejectedEvent, Session
from events.storage import partitions, retention
from events.storage.partitions import months, next_month
from events.tests.counting import NOON, assert_all_counted, commit

pytestmark = pytest.mark.django_db
MAY = datetime(2026, 5, 1, tzinfo=UTC)


def where(event: Event) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM events_event WHERE id = %s", [event.pk])
        return cursor.fetchone()[0]


def test_a_year_has_twelve_months_and_another_one_follows():
    found = list(months(datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)))

    assert [(month.year, month.month) for month in found] == [(2026, 11), (2026, 12), (2027, 1), (2027, 2)]
    assert next_month(datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_this_month_and_the_next_three_are_there_from_the_start():
    there = {partition.first for partition in partitions.partitions()}

    assert set(months(timezone.now(), timezone.now() + timedelta(days=80))) <= there
    assert partitions.ensure_ahead() == []
    assert where(EventFactory()) == f"events_event_y{timezone.now():%Ym%m}"


def test_rows_that_are_there_already_move_into_their_month():
    before, first, last, after = (
        EventFactory(timestamp=moment)
        for moment in (
            MAY - timedelta(microseconds=1),
            MAY,
            next_month(MAY) - timedelta(microseconds=1),
            next_month(MAY),
        )
    )

    assert partitions.ensure(MAY, NOON) == ["events_event_y2026m05"]

    assert {where(first), where(last)} == {"events_event_y2026m05"}
    assert {where(before), where(after)} == {"events_event_default"}
    assert Event.objects.count() == 4


def test_a_made_month_is_like_the_others():
    partitions.ensure(MAY, MAY)
    event = EventFactory(timestamp=NOON)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent IN"
            " (SELECT indexrelid FROM pg_index WHERE indrelid = 'events_event'::regclass) AND"
            " inhrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'events_event_y2026m05'::regclass)"
        )
        assert cursor.fetchone() == (5,)  # every index is one of the parent's
        cursor.execute(
            "SELECT count(*) FROM pg_constraint WHERE conrelid = 'events_event_y2026m05'::regclass AND contype = 'f'"
        )
        assert cursor.fetchone() == (1,)

    assert where(event) == "events_event_y2026m05"


def test_what_is_older_than_the_retention_goes_and_nothing_else(settings):
    settings.EVENT_RETENTION_DAYS, settings.EVENT_REJECTED_RETENTION_DAYS = 100, 0
    edge = retention.horizon()
    application = ApplicationFactory()
    partitions.ensure(edge - timedelta(days=40), edge)
    for moment in (edge - timedelta(days=500), edge - timedelta(seconds=1), edge):
        mine = {"application": application, "session_id": f"{moment}"}
        commit([{**mine, "timestamp": moment}], [{**mine_without_session(mine), "received_at": moment}])
    tasks.digest_events()

    tasks.delete_old_events()

    assert Event.objects.get().timestamp == RejectedEvent.objects.get().received_at == edge
    assert Session.objects.count() == 1
    assert set(Minute.objects.values_list("minute", flat=True)) == {edge.replace(second=0, microsecond=0)}
    assert min(partition.first for partition in partitions.partitions()) == edge
    assert_all_counted()


def mine_without_session(mine: dict) -> dict:
    return {"application": mine["application"]}


def test_many_old_rows_go_in_small_transactions(settings, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    application = ApplicationFactory()
    EventFactory.create_batch(7, application=application, timestamp=datetime(1999, 1, 1, tzinfo=UTC))
    RejectedEventFactory(application=application)

    assert [(old.table, old.rows) for old in retention.retain()] == [("events_event_default", 7)]
    assert RejectedEvent.objects.exists()


def test_a_dry_run_shows_what_would_go_and_lets_it_be(settings):
    partitions.ensure(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC))
    EventFactory(timestamp=datetime(2001, 1, 5, tzinfo=UTC))
    EventFactory(timestamp=datetime(1999, 1, 1, tzinfo=UTC))
    told, done = StringIO(), StringIO()

    call_command("retain_events", dry_run=True, stdout=told)

    assert "events_event_y2001m01: a partition of about" in told.getvalue()
    assert "events_event_default: 1 rows" in told.getvalue()
    assert Event.objects.count() == 2
    call_command("retain_events", stdout=done)
    assert "is deleted" in done.getvalue() and not Event.objects.exists()


def test_without_an_end_everything_is_kept(settings):
    settings.EVENT_RETENTION_DAYS = 0
    EventFactory(timestamp=datetime(1999, 1, 1, tzinfo=UTC))

    assert retention.retain() == [] == list(retention.expired_rows())


@pytest.mark.django_db(transaction=True)
def test_a_partition_in_use_is_left_for_the_next_time(monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "50ms")
    old = datetime(2001, 1, 1, tzinfo=UTC)
    partitions.ensure(old, old)
    parameters = {key: value for key, value in connection.get_connection_params().items() if key != "cursor_factory"}
    ingest = psycopg2.connect(**parameters)
    with ingest.cursor() as cursor:
        cursor.execute("SELECT 1 FROM events_event LIMIT 1")  # and its transaction stays open

    first = partitions.partitions()[0]
    assert first.first == old and not partitions.drop(first)

    ingest.close()
    assert partitions.drop(first)
    assert old not in {partition.first for partition in partitions.partitions()}


@pytest.mark.django_db(transaction=True)
def test_the_ingest_goes_on_while_a_month_is_made():
    application = ApplicationFactory()
    parameters = {key: value for key, value in connection.get_connection_params().items() if key != "cursor_factory"}
    ingest = psycopg2.connect(**parameters)
    insert = (
        "INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)"
        " VALUES (%s, %s, gen_random_uuid(), 's', 'c', 'n', '{}', now())"
    )
    with ingest.cursor() as cursor:
        cursor.execute(insert, [1, application.pk])  # under way, into this month

    assert partitions.ensure(MAY, MAY) == ["events_event_y2026m05"]

    with ingest.cursor() as cursor:
        cursor.execute(insert, [2, application.pk])
    ingest.commit()
    ingest.close()
    assert Event.objects.count() == 2
    assert partitions.drop(next(one for one in partitions.partitions() if one.first == MAY))
