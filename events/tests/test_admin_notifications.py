"""The list of notifications, and sending one again."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.utils import timezone

from chats.factories import ChatFactory
from events.factories import NotificationFactory
from events.models import Notification
from events.models.notification import MAX_ATTEMPTS
from events.notifications import delivery

pytestmark = pytest.mark.django_db
LIST = "/admin/events/notification/"


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def words(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def processed() -> Notification:
    notification = NotificationFactory(user_id=str(ChatFactory().user_uuid), description="Your parcel has arrived.")
    delivery.process()
    notification.refresh_from_db()
    return notification


@pytest.fixture
def failed() -> Notification:
    return NotificationFactory(user_id="42", attempts=MAX_ATTEMPTS, error="OSError: no room")


def test_the_list_tells_state_attempts_and_chat(as_viewer, processed, failed):
    NotificationFactory(user_id="waits")

    page = as_viewer.get(LIST)

    shown = text_of(page)
    assert "Your parcel has arrived. check Processed 1" in shown
    assert "close Failed OSError: no room 5" in shown
    assert "schedule Waiting 0" in shown
    assert f'href="/admin/chats/chat/{processed.message.chat_id}/change/"' in page.content.decode()


def test_the_empty_list_says_what_belongs_there(as_viewer, as_analyst):
    assert "Create notification" in text_of(as_analyst.get(LIST))

    page = text_of(as_viewer.get(LIST))

    assert "No notifications yet" in page
    assert "Create notification" not in page


def test_the_list_costs_the_same_whatever_its_length(as_viewer, django_assert_max_num_queries):
    for _ in range(30):
        NotificationFactory(user_id=str(ChatFactory().user_uuid))
    delivery.process()

    with django_assert_max_num_queries(12):
        as_viewer.get(LIST)


def test_a_user_is_found_by_the_whole_id(as_viewer, processed, failed):
    assert "no room" not in text_of(as_viewer.get(f"{LIST}?q={processed.user_id}"))
    assert "No notifications of this user found" in text_of(as_viewer.get(f"{LIST}?q=4"))


def test_one_is_shown_and_not_changed(as_analyst, processed):
    page = text_of(as_analyst.get(f"{LIST}{processed.pk}/change/"))

    assert "Your parcel has arrived." in page
    assert "Send again" in page
    assert as_analyst.post(f"{LIST}{processed.pk}/change/", {"description": "x"}).status_code == 403


def test_sending_again_asks_first_and_is_written_down(as_analyst, processed):
    question = text_of(as_analyst.get(f"{LIST}{processed.pk}/resend/"))
    assert "will have it in the chat a second time" in question

    answer = as_analyst.post(f"{LIST}{processed.pk}/resend/", {"status": "Processed"})

    assert answer.status_code == 302
    assert words(answer) == [f"The notification to {processed.user_id} is being sent again."]
    processed.refresh_from_db()
    assert (processed.status, processed.attempts) == ("NotProcessed", 0)
    assert LogEntry.objects.get().get_change_message() == "Sent it again."


def test_the_question_about_a_failed_one_says_why_it_failed(as_analyst, failed):
    assert "It failed 5 times, the last time with: OSError: no room" in text_of(
        as_analyst.get(f"{LIST}{failed.pk}/resend/", headers={"HX-Request": "true"})
    )


def test_what_was_processed_while_one_was_asked_is_not_sent_twice(as_analyst, failed):
    Notification.objects.update(status="Processed", processed_at=timezone.now())

    answer = as_analyst.post(f"{LIST}{failed.pk}/resend/", {"status": "NotProcessed"})

    assert "processed meanwhile" in words(answer)[0]
    failed.refresh_from_db()
    assert failed.status == "Processed"


def test_what_is_under_way_need_not_be_sent_again(as_analyst):
    page = as_analyst.get(f"{LIST}{NotificationFactory().pk}/resend/")

    assert "still in progress" in text_of(page)
    assert "<form method" not in page.content.decode().split('id="dialog"')[1].split("</body>")[0]


def test_a_viewer_neither_sends_nor_sends_again(as_viewer, processed):
    assert "Send again" not in text_of(as_viewer.get(LIST))
    assert as_viewer.get(f"{LIST}{processed.pk}/resend/").status_code == 403
    assert as_viewer.post(f"{LIST}{processed.pk}/resend/", {"status": "Processed"}).status_code == 403
    assert as_viewer.get(f"{LIST}add/").status_code == 403


def test_one_may_be_written_by_hand(as_analyst):
    answer = as_analyst.post(f"{LIST}add/", {"user_id": "42", "description": "Hello"})

    assert answer.status_code == 302
    notification = Notification.objects.get()
    assert (notification.user_id, notification.description, notification.status) == ("42", "Hello", "NotProcessed")
    assert as_analyst.get(f"{LIST}{notification.pk}/change/").status_code == 200
