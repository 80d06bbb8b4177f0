"""What other services want users to be told arrives once, whatever happens meanwhile."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chats import services as chats
from chats.factories import ChatFactory
from chats.models import Message
from events import services
from events.factories import NotificationFactory
from events.models import Notification
from events.models.notification import MAX_ATTEMPTS
from events.notifications import delivery
from live.models import OutboxMessage as LiveMessage

pytestmark = pytest.mark.django_db


@pytest.fixture
def chat():
    return ChatFactory()


@pytest.fixture
def notification(chat) -> Notification:
    return NotificationFactory(user_id=str(chat.user_uuid), description="Your parcel has arrived.")


@pytest.fixture
def broken_chats(monkeypatch):
    def post_message(**_):
        raise OSError("no room")

    monkeypatch.setattr(chats, "post_message", post_message)


def later(seconds: float):
    return time_machine.travel(timezone.now() + timedelta(seconds=seconds), tick=True)


def test_the_text_lands_in_the_users_chat_and_the_notification_is_processed(notification, chat):
    assert delivery.process() == 1

    notification.refresh_from_db()
    assert notification.status == "Processed"
    assert (notification.attempts, notification.error, notification.lease_until) == (1, "", None)
    assert notification.processed_at is not None
    assert notification.message.text == "Your parcel has arrived."
    assert notification.message.chat == chat


@pytest.mark.django_db(transaction=True)
def test_the_log_has_exactly_the_promised_line(notification, caplog):
    with caplog.at_level(logging.INFO, "events.notifications.delivery"):
        delivery.process()

    [record] = [record for record in caplog.records if record.name == "events.notifications.delivery"]
    assert record.levelno == logging.INFO
    assert record.getMessage() == (
        f"Event {notification.event_id} has been sent to {notification.user_id}: Your parcel has arrived."
    )


@pytest.mark.parametrize("user_id", [str(uuid4()), "customer 42"], ids=["no chat", "no UUID"])
def test_a_user_without_a_chat_is_no_failure(user_id):
    notification = NotificationFactory(user_id=user_id)

    assert delivery.process() == 1

    notification.refresh_from_db()
    assert (notification.status, notification.message) == ("Processed", None)
    assert not Message.objects.exists()


def test_whoever_watches_hears_of_it(notification, chat):
    delivery.process()

    told = {(event.topic, event.type) for event in LiveMessage.objects.all()}
    assert (f"chat:{chat.pk}", "message.created") in told
    assert ("notifications", "notification.updated") in told


def test_a_second_delivery_finds_nothing_left_to_do(notification):
    assert delivery.process() == 1
    assert delivery.process() == 0

    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_five_workers_at_once_send_each_once(chat):
    ids = [NotificationFactory(user_id=str(chat.user_uuid), description=str(n)).pk for n in range(40)]
    sent = []

    def work() -> None:
        try:
            sent.append(delivery.process())
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sum(sent) == len(ids)
    assert sorted(message.text for message in Message.objects.all()) == sorted(str(n) for n in range(40))
    assert not Notification.objects.exclude(status="Processed").exists()


def test_a_failure_is_visible_and_tried_again_later(notification, broken_chats, monkeypatch):
    assert delivery.process() == 0
    assert delivery.process() == 0  # not yet

    notification.refresh_from_db()
    assert (notification.status, notification.attempts) == ("NotProcessed", 1)
    assert notification.error == "OSError: no room"
    assert not notification.has_failed
    monkeypatch.undo()
    with later(10):
        assert delivery.process() == 1
    notification.refresh_from_db()
    assert (notification.status, notification.attempts, notification.error) == ("Processed", 2, "")


def test_one_that_fails_does_not_keep_the_others(chat, notification, monkeypatch):
    post = chats.post_message
    monkeypatch.setattr(
        chats, "post_message", lambda *, chat, text: 1 / 0 if "parcel" in text else post(chat=chat, text=text)
    )
    other = NotificationFactory(user_id=str(chat.user_uuid), description="Something else")

    assert delivery.process() == 1

    other.refresh_from_db()
    assert other.status == "Processed"


def test_after_the_last_attempt_it_waits_for_a_person(notification, broken_chats, monkeypatch):
    for attempt in range(MAX_ATTEMPTS + 2):
        with later(attempt * 3600):
            delivery.process()
    notification.refresh_from_db()
    assert (notification.attempts, notification.has_failed) == (MAX_ATTEMPTS, True)
    monkeypatch.undo()

    services.resend_notification(event_id=notification.event_id)

    assert delivery.process() == 1


def test_a_worker_that_died_leaves_a_lease_that_ends(notification):
    claim = delivery._claim()
    assert claim is not None
    assert delivery.process() == 0

    with later(31):
        assert delivery.process() == 1

    assert Message.objects.count() == 1


def test_a_worker_that_died_at_the_last_attempt_is_written_down(notification):
    Notification.objects.update(attempts=MAX_ATTEMPTS, lease_until=timezone.now())

    with later(1):
        delivery.process()

    notification.refresh_from_db()
    assert notification.has_failed
    assert notification.error == delivery.KILLED


@pytest.mark.django_db(transaction=True)
def test_the_message_and_the_status_are_one_transaction(notification, monkeypatch):
    """Killed anywhere before the commit: neither is there."""
    monkeypatch.setattr(delivery.realtime, "notification_updated", lambda _: 1 / 0)
    claim = delivery._claim()

    with pytest.raises(ZeroDivisionError):
        delivery._send(claim)

    notification.refresh_from_db()
    assert notification.status == "NotProcessed"
    assert not Message.objects.exists()


def test_an_attempt_that_is_not_the_newest_any_more_sends_nothing(notification):
    slow = delivery._claim()
    with later(31):
        assert delivery.process() == 1

    assert delivery._send(slow) is False

    assert Message.objects.count() == 1


def test_a_chat_may_be_deleted_later(notification, chat):
    delivery.process()

    chat.delete()

    notification.refresh_from_db()
    assert (notification.status, notification.message) == ("Processed", None)


def test_sending_again_puts_a_second_message_into_the_chat(notification):
    delivery.process()

    services.resend_notification(event_id=notification.event_id)

    assert delivery.process() == 1
    assert Message.objects.count() == 2


def test_what_is_under_way_is_not_sent_again(notification):
    claim = delivery._claim()

    services.resend_notification(event_id=notification.event_id)

    assert delivery.process() == 0
    assert delivery._send(claim) is True


def test_a_notification_wakes_a_worker_on_commit(monkeypatch, django_capture_on_commit_callbacks):
    woken = []
    monkeypatch.setattr("core.wake._send", lambda *task: woken.append(task))

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        services.send_notification(user_id="1", description="Hello")
        assert woken == []

    assert woken == [("events.tasks.send_notifications", (), {})]


@pytest.mark.parametrize(("user_id", "description"), [("", "x"), (" ", "x"), ("1", ""), ("1", " \n")])
def test_nobody_and_nothing_cannot_be_sent(user_id, description):
    with pytest.raises(ValueError, match="needs a user and a text"):
        services.send_notification(user_id=user_id, description=description)


@pytest.mark.parametrize("address", ["/notifications/?user_id=ada", "/admin/events/notification/?q=ada"])
def test_one_users_are_found_by_an_index_newest_first(address, client, admin_user):
    NotificationFactory(user_id="ada")
    client.force_login(admin_user)

    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200

    asked = [query["sql"] for query in queries if "user_id\" = 'ada'" in query["sql"] and "LIMIT" in query["sql"]]
    assert asked
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for sql in asked:
            cursor.execute(f"EXPLAIN (COSTS OFF) {sql}")
            assert "events_notification_user" in "\n".join(row[0] for row in cursor.fetchall())


def test_the_longest_text_of_emoji_arrives_and_watchers_hear_it(chat, viewer_api, superuser):
    text = "😀" * 4_000
    made = services.send_notification(user_id=str(chat.user_uuid), description=text)

    delivery.process()

    assert Notification.objects.get(pk=made.pk).status == "Processed"
    assert Message.objects.get().own_text == text
    [heard] = LiveMessage.objects.filter(type="message.created")
    assert text in heard.data
