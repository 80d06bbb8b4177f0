"""A broadcast whose sending has not started can be deleted by REST and on its page; any other cannot."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from chats import services
from chats.broadcasts import state_changes
from chats.broadcasts.fanout import freeze
from chats.broadcasts.prepare import prepare
from chats.demo.fake import create_fake_chats
from chats.factories import BannerFactory, BroadcastFactory
from chats.models import Banner, Broadcast, BroadcastNotAllowed, ListedUsers, Recipient, Step
from chats.stored_images import store_content
from chats.tests.test_fanout import in_another_connection, wait_until_somebody_waits_for_a_lock
from live.models import OutboxMessage as Announcement

LIST = "/admin/chats/broadcast/"


def address(broadcast: Broadcast) -> str:
    return f"/broadcasts/{broadcast.pk}/"


def cancelled(**more) -> Broadcast:
    broadcast = BroadcastFactory(**more)
    services.cancel(broadcast=broadcast, actor=None)
    return broadcast


def missed() -> Broadcast:
    return BroadcastFactory(status="missed", send_at=timezone.now() - timedelta(days=1))


DELETABLE = {
    "scheduled": lambda: BroadcastFactory(scheduled=True),
    "missed": missed,
    "failed": lambda: BroadcastFactory(failed=True),
    "cancelled": cancelled,
}


@pytest.mark.django_db
@pytest.mark.parametrize("status", DELETABLE)
def test_a_broadcast_whose_sending_has_not_begun_is_deleted(marketer_api, marketer, status):
    broadcast = DELETABLE[status]()

    answer = marketer_api.delete(address(broadcast))

    assert answer.status_code == 204
    assert not Broadcast.objects.exists() and not Step.objects.exists()
    assert marketer_api.get(address(broadcast)).status_code == 404
    assert marketer_api.delete(address(broadcast)).status_code == 404
    last = Broadcast.history.latest()
    assert (last.id, last.history_type) == (broadcast.pk, "-")


@pytest.mark.django_db
def test_its_list_and_its_picture_go_with_it_and_watchers_hear_of_it(marketer_api, django_capture_on_commit_callbacks):
    broadcast = services.compose(
        actor=None,
        image=store_content(b"picture", folder="messages", suffix=".webp"),
        audience=ListedUsers([uuid4(), uuid4()]),
        send_at=timezone.now() + timedelta(days=1),
    )

    with django_capture_on_commit_callbacks(execute=True):
        assert marketer_api.delete(address(broadcast)).status_code == 204

    assert not Recipient.objects.exists()
    assert not default_storage.exists(broadcast.image.name)
    heard = Announcement.objects.filter(type="broadcast.deleted").values_list("topic", "data")
    assert sorted((topic, json.loads(data)) for topic, data in heard) == [
        (f"broadcast:{broadcast.pk}", {"id": broadcast.pk}),
        ("broadcasts", {"id": broadcast.pk}),
    ]


@pytest.mark.django_db
def test_the_banner_of_a_cancelled_broadcast_stays_and_can_be_sent(marketer_api):
    banner = BannerFactory()
    broadcast = cancelled(banner=banner, banner_url=banner.source_url, text="")

    assert marketer_api.delete(address(broadcast)).status_code == 204

    assert Banner.objects.get() == banner and not Banner.objects.unavailable().exists()


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["queued", "paused"])
def test_a_broadcast_on_its_way_has_to_be_cancelled_first(marketer_api, status):
    broadcast = BroadcastFactory()
    if status == "paused":
        services.pause(broadcast=broadcast, actor=None)

    answer = marketer_api.delete(address(broadcast))

    assert answer.status_code == 409
    assert answer.json()["detail"] == f"Broadcast {broadcast.pk} is {status}. Cancel it first, then delete it."
    assert Broadcast.objects.get().status == status


@pytest.mark.django_db
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_broadcast_whose_sending_has_begun_stays(marketer_api, is_cancelled):
    create_fake_chats(3)
    broadcast = BroadcastFactory()
    freeze(broadcast, largest_chunk=10)
    if is_cancelled:
        services.cancel(broadcast=broadcast, actor=None)

    answer = marketer_api.delete(address(broadcast))

    assert answer.status_code == 409
    assert "has begun, so it cannot be deleted" in answer.json()["detail"]
    assert Broadcast.objects.exists()


@pytest.mark.django_db
def test_another_etag_than_the_present_one_deletes_nothing(marketer_api):
    broadcast = BroadcastFactory(scheduled=True)
    etag = marketer_api.get(address(broadcast)).headers["ETag"]
    services.update_scheduled(broadcast=broadcast, actor=None, text="Changed", image=None, send_at=broadcast.send_at)

    assert marketer_api.delete(address(broadcast), headers={"if-match": etag}).status_code == 412
    etag = marketer_api.get(address(broadcast)).headers["ETag"]
    assert marketer_api.delete(address(broadcast), headers={"if-match": etag}).status_code == 204


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "code"), [("anon_api", 401), ("viewer_api", 403), ("stranger_api", 403)])
def test_only_those_who_may_send_may_delete(request, who, code):
    broadcast = BroadcastFactory(scheduled=True)

    assert request.getfixturevalue(who).delete(address(broadcast)).status_code == code
    assert Broadcast.objects.exists()


@pytest.mark.django_db
def test_the_page_asks_deletes_and_goes_back_to_the_list(as_marketer):
    broadcast = BroadcastFactory(scheduled=True)
    button = f"{LIST}{broadcast.pk}/delete/"

    page = as_marketer.get(f"{LIST}{broadcast.pk}/change/").content.decode()
    asked = as_marketer.get(button).content.decode()
    done = as_marketer.post(button)

    assert f'href="{button}"' in page
    assert "not been sent to any chat" in asked and "Delete the broadcast" in asked and "cannot be undone" in asked
    assert (done.status_code, done["Location"]) == (302, LIST)
    assert [str(message) for message in get_messages(done.wsgi_request)] == ["The broadcast is deleted."]
    assert not Broadcast.objects.exists()


@pytest.mark.django_db
def test_the_page_offers_no_deletion_where_sending_has_begun(as_marketer):
    create_fake_chats(1)
    broadcast = BroadcastFactory()
    freeze(broadcast, largest_chunk=10)
    services.cancel(broadcast=broadcast, actor=None)

    assert "/delete/" not in as_marketer.get(f"{LIST}{broadcast.pk}/change/").content.decode()
    as_marketer.post(f"{LIST}{broadcast.pk}/delete/")
    assert Broadcast.objects.exists()


@pytest.mark.django_db
def test_verbs_of_a_broadcast_that_was_deleted_meanwhile_end_in_words(marketer_api):
    broadcast = BroadcastFactory(scheduled=True)
    Broadcast.objects.get().delete()

    for verb in (services.pause, services.resume, services.cancel, services.retract):
        with pytest.raises(BroadcastNotAllowed, match="was deleted"):
            verb(broadcast=broadcast, actor=None)
    assert not prepare(broadcast)


@pytest.mark.django_db(transaction=True)
def test_of_the_sweeper_that_queues_it_and_its_deletion_exactly_one_wins():
    due = BroadcastFactory(scheduled=True, send_at=timezone.now() - timedelta(seconds=1))

    with transaction.atomic():
        services.delete_broadcast(broadcast=due)
        sweeping = in_another_connection(services.sweep_broadcasts)  # it has already read the row
        wait_until_somebody_waits_for_a_lock()
    sweeping.join(10)

    assert not Broadcast.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_broadcast_that_is_queued_while_its_deletion_waits_stays():
    due = BroadcastFactory(scheduled=True, send_at=timezone.now() - timedelta(seconds=1))
    refused: list[str] = []

    def delete() -> None:
        try:
            services.delete_broadcast(broadcast=due)
        except BroadcastNotAllowed as error:
            refused.append(str(error))

    with transaction.atomic():
        state_changes.queue_when_due(Broadcast.objects.get())
        deleting = in_another_connection(delete)
        wait_until_somebody_waits_for_a_lock()
    deleting.join(10)

    assert refused == [f"Broadcast {due.pk} is queued. Cancel it first, then delete it."]
    assert Broadcast.objects.get().status == "queued"
