"""What the sweeper finds: whatever no message announced."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chats import fanout, services
from chats.factories import BroadcastFactory
from chats.fake import create_fake_chats
from chats.models import Broadcast

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    monkeypatch.setattr(services, "wake", lambda task, *args: calls.append((task, *args)))
    return calls


def test_a_scheduled_broadcast_is_queued_when_its_time_has_come(woken):
    due = BroadcastFactory(scheduled=True, send_at=timezone.now() - timedelta(seconds=1))
    later = BroadcastFactory(scheduled=True)

    services.sweep_broadcasts()

    due.refresh_from_db()
    later.refresh_from_db()
    assert (due.status, later.status) == ("queued", "scheduled")
    assert woken == [(services.PREPARE, due.pk)]


def test_a_queued_broadcast_is_left_alone_while_somebody_prepares_it(woken):
    BroadcastFactory(lease_until=timezone.now() + timedelta(seconds=30))

    services.sweep_broadcasts()

    assert woken == []


def test_a_broadcast_whose_preparer_died_is_prepared_again(woken):
    broadcast = BroadcastFactory(lease_until=timezone.now() - timedelta(seconds=1))

    services.sweep_broadcasts()

    assert woken == [(services.PREPARE, broadcast.pk)]


def test_workers_are_called_to_a_broadcast_that_does_not_move(woken, settings):
    create_fake_chats(200)
    broadcast = BroadcastFactory()
    fanout.freeze(broadcast, largest_chunk=100)

    services.sweep_broadcasts()

    assert woken == [(services.FAN_OUT, broadcast.pk)] * settings.BROADCAST_WORKERS


def test_a_broadcast_that_moves_is_left_alone(woken):
    create_fake_chats(200)
    broadcast = BroadcastFactory()
    fanout.freeze(broadcast, largest_chunk=100)
    fanout.send_next_chunk(broadcast)

    services.sweep_broadcasts()

    assert woken == []


def test_what_is_paused_or_finished_is_left_alone(woken):
    BroadcastFactory().pause(None)
    BroadcastFactory().cancel(None)
    BroadcastFactory(failed=True)

    services.sweep_broadcasts()

    assert woken == []
    assert not Broadcast.objects.queued().exists()
