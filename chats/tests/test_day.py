"""The chats' section of the daily report."""

from datetime import UTC, date, datetime, timedelta

import pytest

from chats import report_section
from chats.models import Broadcast

pytestmark = pytest.mark.django_db


def test_the_chats_day_is_what_came_of_the_broadcasts_that_ended_on_it():
    noon = datetime(2030, 5, 14, 12, tzinfo=UTC)
    sent = {"status": "sent", "started_at": noon, "text": "Hello"}
    for moment in (noon, noon.replace(hour=0), noon + timedelta(days=1), noon - timedelta(days=1)):
        Broadcast.objects.create(**sent, finished_at=moment, audience_size=12, delivered=10, skipped=2)
    Broadcast.objects.create(
        text="Half", status="cancelled", finished_at=noon, audience_size=9, delivered=3, started_at=noon
    )
    Broadcast.objects.create(text="Never", status="failed", finished_at=noon, error="Not an image.")
    Broadcast.objects.create(text="Under way")

    assert report_section.count(noon.date()) == [
        ("Broadcasts sent", 2),
        ("Messages delivered", 23),
        ("Broadcasts failed", 1),
    ]
    assert report_section.count(date(2031, 1, 1)) == [
        ("Broadcasts sent", 0),
        ("Messages delivered", 0),
        ("Broadcasts failed", 0),
    ]
