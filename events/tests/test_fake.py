"""Fake events: exactly as many as asked for, counted, and wrong in ways that the ingest would find."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from events import services
from events.models import Application, Event, EventType, RejectedEvent, Session
from events.rejected.groups import groups
from events.services import Selection
from events.tests.counting import assert_all_counted

pytestmark = pytest.mark.django_db


def test_there_are_as_many_as_asked_for_and_all_of_them_counted():
    call_command("create_fake_events", total=5_000, days=3, verbosity=0)

    assert Event.objects.count() == 5_000
    oldest, newest = Event.objects.order_by("timestamp")[0], Event.objects.order_by("-timestamp")[0]
    assert timezone.now() - timedelta(days=3, hours=1) < oldest.timestamp < newest.timestamp < timezone.now()
    assert newest.timestamp > timezone.now() - timedelta(hours=6)
    assert Application.objects.count() > 2 and EventType.objects.count() > 5
    assert 300 < Session.objects.count() < 2_500
    assert_all_counted()


def test_what_is_rejected_is_rejected_by_the_ingest_too():
    call_command("create_fake_events", total=5_000, days=3, verbosity=0)

    codes = {group.code for group in groups()}
    again = services.preview_replay(selection=Selection(application=Application.objects.get(name="Website").pk))

    assert {"future", "type", "required"} <= codes
    assert again.checked == again.still_rejected > 0
    assert 50 < RejectedEvent.objects.count() <= 150


def test_nothing_is_made_of_nonsense():
    with pytest.raises(CommandError):
        call_command("create_fake_events", total=0, verbosity=0)
