"""Changes of a broadcast from a stale row: each decides in its own UPDATE or reads the row again."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections, transaction
from django.utils import timezone

from chats import services
from chats.broadcasts import fanout, state_changes
from chats.broadcasts.prepare import LEASE, prepare
from chats.demo.fake import create_fake_chats
from chats.factories import BannerFactory, BroadcastFactory
from chats.models import Banner, Broadcast, BroadcastNotAllowed, Chat, Message
from chats.tests.test_fanout import in_another_connection, wait_until_somebody_waits_for_a_lock
from chats.tests.test_send_banner import api, picture
from core.tests import evil_server as evil

__all__ = ["api"]


def stale(broadcast: Broadcast) -> Broadcast:
    return Broadcast.objects.get(pk=broadcast.pk)


@pytest.mark.django_db(transaction=True)
def test_a_broadcast_that_is_postponed_while_the_sweeper_looks_is_not_sent():
    due = BroadcastFactory(scheduled=True, send_at=timezone.now() - timedelta(seconds=1))
    next_week = timezone.now() + timedelta(days=7)

    with transaction.atomic():
        services.update_scheduled(broadcast=due, actor=None, text="Not yet", image=None, send_at=next_week)
        sweeping = in_another_connection(services.sweep_broadcasts)  # it has already read the old time
        wait_until_somebody_waits_for_a_lock()
    sweeping.join(10)

    due.refresh_from_db()
    assert (due.status, due.send_at) == ("scheduled", next_week)


@pytest.mark.django_db
def test_a_scheduled_broadcast_is_not_queued_before_its_time():
    with pytest.raises(BroadcastNotAllowed):
        state_changes.queue_when_due(BroadcastFactory(scheduled=True))


@pytest.mark.django_db
def test_a_wake_up_that_read_the_row_before_a_retry_downloads_the_picture(api, marketer):
    create_fake_chats(3)
    good = api.behaviours["/1.png"]
    api.on("/1.png", evil.answer(500))
    prepare(services.send_next_banner(actor=marketer))
    failed = Broadcast.objects.get(status="failed")
    api.on("/1.png", good)

    old_wake_up = stale(failed)  # failed, without its banner
    services.retry(broadcast=failed, actor=marketer)
    assert prepare(old_wake_up)
    fanout.run(old_wake_up, seconds=10)

    assert Message.objects.count() == 3
    assert all(message.image for message in Message.objects.all())


@pytest.mark.django_db
def test_a_resume_that_read_the_row_before_the_freeze_goes_on_sending():
    create_fake_chats(3)
    broadcast = BroadcastFactory()
    read_early = stale(broadcast)
    fanout.freeze(broadcast, largest_chunk=10)
    services.pause(broadcast=broadcast, actor=None)

    services.resume(broadcast=read_early, actor=None)

    assert read_early.status == "sending"
    assert [step.verb for step in broadcast.steps.all()] == ["sending", "paused", "sending"]
    assert fanout.run(read_early, seconds=10) is False
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered) == ("sent", 3)


@pytest.mark.django_db
def test_a_resume_before_the_freeze_queues_and_only_a_paused_broadcast_is_resumed():
    broadcast = BroadcastFactory()
    services.pause(broadcast=broadcast, actor=None)

    services.resume(broadcast=broadcast, actor=None)

    assert broadcast.status == "queued"
    with pytest.raises(BroadcastNotAllowed, match="is queued and cannot be resumed"):
        services.resume(broadcast=broadcast, actor=None)


def paused_and_resumed(broadcast: Broadcast) -> None:
    services.pause(broadcast=broadcast, actor=None)
    services.resume(broadcast=broadcast, actor=None)


def cancelled(broadcast: Broadcast) -> None:
    services.cancel(broadcast=broadcast, actor=None)


def lease_run_out_and_taken_by_another(broadcast: Broadcast) -> None:
    Broadcast.objects.filter(pk=broadcast.pk).update(lease_until=timezone.now() + 2 * LEASE)


MEANWHILE = [paused_and_resumed, cancelled, lease_run_out_and_taken_by_another]


def during_the_download(api, broadcast: Broadcast, meanwhile, then) -> None:
    """While a worker downloads the banner, run `meanwhile` in another connection, and only then respond with `then`."""

    def slow(connection: evil.Connection) -> None:
        meanwhile(stale(broadcast))
        connections.close_all()
        then(connection)

    api.on("/1.png", slow)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda made: made.__name__)
def test_a_preparer_that_lost_its_lease_writes_nothing_when_its_download_is_done(api, meanwhile):
    broadcast = services.send_next_banner(actor=None)
    during_the_download(api, broadcast, meanwhile, evil.answer(200, picture()))

    assert prepare(broadcast) is False

    broadcast.refresh_from_db()
    assert (broadcast.image.name, Banner.objects.get().image.name) == ("", "")
    assert broadcast.status in ("queued", "cancelled")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda made: made.__name__)
def test_a_preparer_that_lost_its_lease_fails_nothing_when_its_download_fails(api, meanwhile):
    broadcast = services.send_next_banner(actor=None)
    during_the_download(api, broadcast, meanwhile, evil.answer(404))

    assert prepare(broadcast) is False

    broadcast.refresh_from_db()
    assert broadcast.status in ("queued", "cancelled") and not broadcast.error
    assert Banner.objects.get().skipped_at is None


@pytest.mark.django_db
def test_a_preparer_that_lost_its_lease_freezes_nothing():
    broadcast = BroadcastFactory(lease_until=timezone.now())
    Broadcast.objects.update(lease_until=timezone.now() + LEASE)

    assert fanout.freeze(broadcast, largest_chunk=10) is False

    assert not broadcast.chunks.exists()


@pytest.mark.django_db
def test_a_retry_beside_a_retry_of_another_broadcast_of_the_same_banner_leaves_it_to_one():
    banner = BannerFactory()
    first, second = (BroadcastFactory(failed=True, banner_url=banner.source_url, text="") for _ in range(2))

    services.retry(broadcast=first, actor=None)
    with pytest.raises(BroadcastNotAllowed, match="sent by another broadcast"):
        services.retry(broadcast=second, actor=None)


@pytest.mark.django_db(transaction=True)
def test_chats_that_are_opened_while_others_are_being_deleted_stay(monkeypatch):
    monkeypatch.setattr("chats.models.chat.DELETED_AT_ONCE", 2)
    create_fake_chats(5)

    with transaction.atomic():
        Chat.objects.select_for_update().first()
        deleting = in_another_connection(lambda: Chat.objects.all().delete())
        wait_until_somebody_waits_for_a_lock()
        opened, _ = services.open_chat(user_uuid=uuid4())
    deleting.join(10)

    assert list(Chat.objects.all()) == [opened]
