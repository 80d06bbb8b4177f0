"""The events' table: partitioned, and unique within it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection

from events.factories import ApplicationFactory, EventFactory, RejectedEventFactory
from events.models import Event

pytestmark = pytest.mark.django_db


def test_an_event_from_before_opsroom_is_kept():
    event = EventFactory(timestamp=datetime(2021, 1, 1, 9, 15, 27, tzinfo=UTC))

    assert Event.objects.get(pk=event.pk).timestamp.year == 2021


def test_the_same_event_is_never_stored_twice():
    application, event_id, timestamp = ApplicationFactory(), uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
    EventFactory(application=application, event_id=event_id, timestamp=timestamp)

    with pytest.raises(IntegrityError, match="duplicate key"):
        EventFactory(application=application, event_id=event_id, timestamp=timestamp)


def test_what_was_rejected_and_sent_again_is_kept_once():
    first = RejectedEventFactory()

    with pytest.raises(IntegrityError, match="events_rejectedevent_once"):
        RejectedEventFactory(application=first.application, event_id=first.event_id, raw=first.raw)


def test_the_same_bytes_without_an_id_may_be_two_events():
    first = RejectedEventFactory(event_id=None)

    RejectedEventFactory(application=first.application, event_id=None, raw=first.raw)


def test_the_table_is_partitioned_by_time():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_partkeydef('events_event'::regclass)")

        assert cursor.fetchone() == ('RANGE ("timestamp")',)


def test_analysts_may_replay_and_viewers_may_look():
    granted = {
        name: set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
        for name in ("analytics", "viewer")
    }

    assert {"view_event", "replay_rejectedevent", "change_eventtype"} <= granted["analytics"]
    assert "view_event" in granted["viewer"] and "replay_rejectedevent" not in granted["viewer"]
