"""Broadcasts and messages in the viewer's time zone, and the report's day in the installation's."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.zones import choose_zone
from chats import report_section as report
from chats import services
from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast
from core.tests.zone_walk import clock, in_zones, minutes_around, minutes_of
from core.timezones import offset

pytestmark = pytest.mark.django_db


@in_zones
def test_the_report_counts_the_broadcasts_of_the_installations_day(settings, zone, day, hours):
    settings.TIME_ZONE = zone
    minutes = minutes_of(zone, day)
    for at in (minutes[0] - timedelta(seconds=1), minutes[0], minutes[-1] + timedelta(seconds=59), minutes[-1]):
        started = {"status": "sent", "started_at": at, "text": "Hello"}
        Broadcast.objects.create(**started, finished_at=at, audience_size=1, delivered=1, skipped=0)
    after = minutes[-1] + timedelta(minutes=1)
    Broadcast.objects.create(text="Never", status="failed", finished_at=after, error="Not an image.")

    assert report.count(day) == [("Broadcasts sent", 3), ("Messages delivered", 3), ("Broadcasts failed", 0)]


@in_zones
def test_messages_are_grouped_by_local_days(as_viewer, viewer, zone, day, hours):
    choose_zone(user=viewer, name=zone)
    chat = ChatFactory()
    moments = minutes_around(day, 1)[::80]
    for at in moments:
        MessageFactory(chat=chat, created_at=at)

    page = as_viewer.get(f"/admin/chats/chat/{chat.pk}/change/").content.decode()

    found = re.findall(r'messages-day"><span>([^<]+)<', page)
    days = dict.fromkeys(clock(zone, at).date() for at in moments)
    assert found == [f"{each.day} {each:%B %Y}" for each in days]
    assert page.count(f'data-zone="{zone}"') >= len(moments)


@in_zones
def test_every_moment_of_a_day_can_be_scheduled_and_does_not_move_when_it_is_edited(
    as_marketer, marketer, zone, day, hours
):
    choose_zone(user=marketer, name=zone)
    broadcast = BroadcastFactory(scheduled=True, text="Hello")
    address = f"/admin/chats/broadcast/{broadcast.pk}/edit/"

    for at in minutes_of(zone, day)[::150]:
        later = at.replace(year=at.year + 400)  # the calendar and the clock changes repeat after 400 years
        services.update_scheduled(broadcast=broadcast, actor=None, text="Hello", image=None, send_at=later)
        field = as_marketer.get(address).context["form"]["send_at"]
        local = later.astimezone(ZoneInfo(zone))
        page = str(as_marketer.get(address).content.decode())
        assert f'value="{local:%Y-%m-%dT%H:%M}"' in page and field.value() == later
        form = {"text": "Hello", "when": "later", "zone": zone, "send_at": f"{local:%Y-%m-%dT%H:%M}", "step": "send"}
        as_marketer.post(address, form | {"send_at_offset": offset(local), "version": broadcast.version})
        broadcast.refresh_from_db()
        assert broadcast.send_at == later


def test_an_editor_hears_of_a_change_on_the_own_clock(as_marketer, marketer):
    choose_zone(user=marketer, name="Europe/Berlin")
    broadcast = BroadcastFactory(scheduled=True, text="Before")
    seen = broadcast.version
    at = datetime(2426, 10, 25, 1, 30, tzinfo=UTC)
    services.update_scheduled(broadcast=broadcast, actor=None, text="Between", image=None, send_at=at)

    form = {"text": "After", "when": "later", "send_at": "2999-01-01T10:00", "step": "send", "version": seen}
    page = as_marketer.post(f"/admin/chats/broadcast/{broadcast.pk}/edit/", form).content.decode()

    assert "25 Oct 2426, 02:30 CET" in page
