"""The reminder list of the admin, and the retry of failed reminders."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from projects.factories import TaskFactory
from projects.models import Reminder
from projects.reminders import send_due

pytestmark = pytest.mark.django_db
LIST = "/admin/projects/reminder/"


@pytest.fixture
def failed() -> Reminder:
    task = TaskFactory(title="Paint the door", due_date=timezone.now() + timedelta(hours=5))
    return Reminder.objects.create(
        task=task, due_date=task.due_date, status="failed", attempts=5, error="SMTPConnectError: nobody there"
    )


def try_again(client, *reminders: Reminder):
    form = {"action": "try_again", "_selected_action": [reminder.pk for reminder in reminders]}
    return client.post(LIST, form, follow=True)


def test_what_could_not_be_sent_is_listed_with_the_reason(as_viewer, failed):
    page = as_viewer.get(LIST).content.decode()

    assert "Paint the door" in page and "nobody there" in page and "Failed" in page
    assert f"/admin/projects/task/{failed.task_id}/change/" in page
    assert "nobody there" in as_viewer.get(f"{LIST}{failed.pk}/change/").content.decode()


def test_what_failed_is_tried_again_and_what_was_sent_is_not(as_planner, failed, mailbox):
    sent = TaskFactory(due_date=timezone.now() + timedelta(hours=6))
    send_due()

    answer = try_again(as_planner, failed, sent.reminders.get())

    assert "1 failed reminder will be tried again." in answer.content.decode()
    assert send_due() == 1
    assert len(mailbox.mails) == 2
    assert LogEntry.objects.get().get_change_message() == "Started another attempt."


def test_a_viewer_tries_nothing_again_and_a_stranger_sees_nothing(as_viewer, as_stranger, failed):
    try_again(as_viewer, failed)

    assert Reminder.objects.get().status == "failed"
    assert as_stranger.get(LIST).status_code == 403


def test_nobody_writes_a_reminder_by_hand(as_superuser, failed):
    assert as_superuser.get(f"{LIST}add/").status_code == 403
    as_superuser.post(f"{LIST}{failed.pk}/change/", {"status": "sent", "recipient": "x@example.com"})

    assert Reminder.objects.get().status == "failed"


def test_no_reminders_is_said_in_words(as_viewer):
    assert "No reminders yet" in as_viewer.get(LIST).content.decode()


def test_the_list_asks_no_more_for_many(as_viewer, django_assert_max_num_queries):
    for task in TaskFactory.create_batch(20):
        Reminder.objects.create(task=task, due_date=timezone.now())

    with django_assert_max_num_queries(9):
        as_viewer.get(LIST)
