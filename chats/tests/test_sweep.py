"""The sweeper: it processes broadcasts that no message has announced."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from chats import services
from chats.broadcasts import fanout, state_changes
from chats.broadcasts.prepare import prepare
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory
from chats.models import Broadcast

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    monkeypatch.setattr(state_changes, "wake", lambda task, *args: calls.append((task, *args)))
    return calls


def test_a_scheduled_broadcast_is_queued_when_its_time_has_come(woken):
    due = BroadcastFactory(scheduled=True, send_at=timezone.now() - timedelta(seconds=1))
    later = BroadcastFactory(scheduled=True)

    services.sweep_broadcasts()

    due.refresh_from_db()
    later.refresh_from_db()
    assert (due.status, later.status) == ("queued", "scheduled")
    assert woken == [(state_changes.PREPARE, due.pk)]


def test_a_queued_broadcast_is_left_alone_while_somebody_prepares_it(woken):
    BroadcastFactory(lease_until=timezone.now() + timedelta(seconds=30))

    services.sweep_broadcasts()

    assert woken == []


def test_a_broadcast_whose_preparer_died_is_prepared_again(woken):
    broadcast = BroadcastFactory(lease_until=timezone.now() - timedelta(seconds=1))

    services.sweep_broadcasts()

    assert woken == [(state_changes.PREPARE, broadcast.pk)]


def test_workers_are_called_to_a_broadcast_that_does_not_move(woken, settings):
    create_fake_chats(200)
    broadcast = BroadcastFactory()
    fanout.freeze(broadcast, largest_chunk=100)

    services.sweep_broadcasts()

    assert woken == [(state_changes.FAN_OUT, broadcast.pk)] * settings.BROADCAST_WORKERS


def test_a_broadcast_that_moves_is_left_alone(woken):
    create_fake_chats(200)
    broadcast = BroadcastFactory()
    fanout.freeze(broadcast, largest_chunk=100)
    fanout.send_next_chunk(broadcast)

    services.sweep_broadcasts()

    assert woken == []


def test_what_is_paused_or_finished_is_left_alone(woken):
    services.pause(broadcast=BroadcastFactory(), actor=None)
    services.cancel(broadcast=BroadcastFactory(), actor=None)
    BroadcastFactory(failed=True)

    services.sweep_broadcasts()

    assert woken == []
    assert not Broadcast.objects.queued().exists()


# --- Too late -----------------------------------------------------------------------------------
TOO_LATE, LATE = timedelta(minutes=61), timedelta(minutes=59)


def missed() -> Broadcast:
    broadcast = BroadcastFactory(scheduled=True, send_at=timezone.now() - TOO_LATE)
    state_changes.queue_when_due(broadcast)
    return broadcast


def test_a_scheduled_broadcast_that_is_very_late_is_missed_and_not_sent(woken):
    too_late = BroadcastFactory(scheduled=True, send_at=timezone.now() - TOO_LATE)
    late = BroadcastFactory(scheduled=True, send_at=timezone.now() - LATE)

    services.sweep_broadcasts()
    services.sweep_broadcasts()

    too_late.refresh_from_db()
    assert too_late.status == "missed"
    assert {pk for _, pk in woken} == {late.pk}
    assert [step.verb for step in too_late.steps.all()] == ["missed"]


def test_a_broadcast_that_was_queued_in_time_and_prepared_very_late_is_missed():
    broadcast = BroadcastFactory(send_at=timezone.now() - TOO_LATE)

    assert prepare(broadcast) is False

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.lease_until) == ("missed", None)


def test_what_was_not_scheduled_is_never_missed():
    broadcast = BroadcastFactory(created_at=timezone.now() - timedelta(days=3))

    assert prepare(broadcast) is True


def test_a_missed_broadcast_is_sent_when_somebody_says_so(marketer_api):
    broadcast = missed()

    answer = marketer_api.post(f"/broadcasts/{broadcast.pk}/resume/")

    assert answer.json()["status"] == "queued"
    assert prepare(broadcast) is True  # its time is now


def test_a_missed_broadcast_gets_another_time_or_is_cancelled(marketer):
    first, second = missed(), missed()
    tomorrow = timezone.now() + timedelta(days=1)

    services.update_scheduled(broadcast=first, actor=marketer, text="Tomorrow", image=None, send_at=tomorrow)
    services.cancel(broadcast=second, actor=marketer)

    first.refresh_from_db()
    assert (first.status, first.send_at, second.status) == ("scheduled", tomorrow, "cancelled")


def test_a_failed_broadcast_that_is_tried_again_days_later_is_not_missed(marketer):
    broadcast = BroadcastFactory(failed=True, send_at=timezone.now() - timedelta(days=3))

    services.retry(broadcast=broadcast, actor=marketer)

    assert prepare(broadcast) is True


def test_the_pages_ask_what_becomes_of_a_missed_broadcast(as_marketer):
    broadcast = missed()

    page = as_marketer.get(f"/admin/chats/broadcast/{broadcast.pk}/change/").content.decode()
    front = as_marketer.get("/admin/").content.decode()

    assert "while no worker was running" in page
    assert set(re.findall(r'id="chats-([\w-]+)" class="button', page)) == {"send-now", "edit", "cancel", "delete"}
    assert f"moving-{broadcast.pk}" in front
    as_marketer.post(f"/admin/chats/broadcast/{broadcast.pk}/send-now/")
    broadcast.refresh_from_db()
    assert broadcast.status == "queued"
