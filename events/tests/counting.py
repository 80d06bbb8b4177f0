"""Batches as the ingest leaves them, and whether everything is counted right."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from events.factories import EventFactory, RejectedEventFactory
from events.models import Batch, Event, Minute, RejectedEvent, Session
from events.models.event import BATCH_ROWS

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def commit(events: list[dict[str, Any]] = (), rejected: list[dict[str, Any]] = ()) -> Batch:
    """Store events and rejected ones as one commit of the ingest does; a second between them where none says when."""
    moments = [event.get("timestamp", NOON + timedelta(seconds=number)) for number, event in enumerate(events)]
    batch = Batch.objects.create(
        events=len(events),
        rejected=len(rejected),
        first_timestamp=min(moments, default=None),
        last_timestamp=max(moments, default=None),
    )
    for number, (event, moment) in enumerate(zip(events, moments, strict=True)):
        EventFactory(id=batch.pk * BATCH_ROWS + number, **{**event, "timestamp": moment})
    for number, event in enumerate(rejected):
        RejectedEventFactory(id=batch.pk * BATCH_ROWS + number, **event)
    return batch


def count_all() -> None:
    """Count the events that a test has stored without a batch, as the digest would have."""
    with connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO events_minute (minute, application_id, category, name, events, rejected)
            SELECT date_trunc('minute', timestamp, 'UTC'), application_id, category, name, count(*), 0
            FROM events_event GROUP BY 1, 2, 3, 4
        """)


def assert_all_counted() -> None:
    """Nothing waits, and sessions and minutes say what is in the tables."""
    assert not Batch.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_id, min(timestamp), max(timestamp), count(*) FROM events_event GROUP BY 1")
        sessions = set(cursor.fetchall())
    assert set(Session.objects.values_list("session_id", "first_seen", "last_seen", "event_count")) == sessions
    for kind, field, moment in ((Event, "events", "timestamp"), (RejectedEvent, "rejected", "received_at")):
        rows = kind.objects.values_list(moment, "application_id", "category", "name")
        there = Counter((row[0].replace(second=0, microsecond=0), *row[1:]) for row in rows)
        counts = Minute.objects.filter(**{f"{field}__gt": 0})
        assert {
            row[:4]: row[4] for row in counts.values_list("minute", "application_id", "category", "name", field)
        } == there
