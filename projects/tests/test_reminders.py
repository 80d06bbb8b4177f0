"""Reminders: one mail per due date, through a real mail server, whatever happens meanwhile."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from live.models import OutboxMessage
from projects import reminders, services
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Reminder, Task
from projects.reminders import send_due
from projects.tests.mail_server import serving

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def soon():
    return timezone.now() + 5 * HOUR


@pytest.fixture
def task(planner, soon) -> Task:
    planner.email = "paula@example.com"
    planner.save()
    return TaskFactory(title="Paint the\tdoor", due_date=soon, assignee=planner)


def at(moment):
    return time_machine.travel(moment, tick=True)


def test_a_task_that_is_due_within_a_day_is_mailed_once_as_text_and_html(task, mailbox):
    assert send_due() == 1
    assert send_due() == 0

    assert [event.type for event in OutboxMessage.objects.all()] == ["reminders.updated"]
    (mail,) = mailbox.mails
    assert mail["To"] == mail["X-To"] == "paula@example.com"
    assert mail["Subject"] == "Due soon: Paint the door"
    text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for body in (text, html):
        assert task.project.name in body
        assert f"/admin/projects/task/{task.pk}/change/" in body
    reminder = Reminder.objects.get()
    assert (reminder.status, reminder.recipient, reminder.attempts) == ("sent", "paula@example.com", 1)
    assert reminder.sent_at is not None


def test_what_is_done_has_no_date_or_is_due_later_is_not_mailed(mailbox, soon):
    TaskFactory(due_date=soon, completed=True)
    TaskFactory()
    TaskFactory(due_date=timezone.now() + 25 * HOUR)
    TaskFactory(due_date=timezone.now() - HOUR)  # was overdue when it was created

    assert send_due() == 0
    assert not Reminder.objects.exists()


def test_the_mail_goes_to_the_assignee_else_the_owner_else_the_house(task, mailbox, settings, viewer, soon):
    settings.REMINDER_FALLBACK_EMAIL = "house@example.com"
    viewer.email = "vic@example.com"
    viewer.save()
    TaskFactory(due_date=soon, project=ProjectFactory(owner=viewer))
    TaskFactory(due_date=soon)

    assert send_due() == 3

    assert sorted(mailbox.recipients) == ["house@example.com", "paula@example.com", "vic@example.com"]


def test_without_any_address_the_ledger_says_so(mailbox, settings, soon):
    settings.REMINDER_FALLBACK_EMAIL = ""
    TaskFactory(due_date=soon)

    assert send_due() == 0

    reminder = Reminder.objects.get()
    assert (reminder.status, reminder.error) == ("failed", "There is no e-mail address to send the reminder to.")


def test_a_date_that_moves_is_reminded_of_again(task, mailbox, soon):
    send_due()

    services.update_task(task=task, due_date=soon + HOUR)
    assert send_due() == 1
    services.update_task(task=task, due_date=soon)
    assert send_due() == 0

    assert len(mailbox.mails) == 2


def test_what_is_done_or_moved_before_the_mail_goes_out_is_dropped_and_comes_back(task, mailbox, soon):
    reminders.arm()
    services.move_task(task=task, status="completed")
    assert send_due() == 0
    assert Reminder.objects.get().status == "dropped"

    services.move_task(task=task, status="pending")
    assert send_due() == 1


def test_after_a_stop_of_some_hours_everything_is_caught_up_with_once(task, mailbox):
    with at(task.due_date + HOUR):
        assert send_due() == 1
        assert send_due() == 0

    assert mailbox.mails[0]["Subject"] == "Overdue: Paint the door"


def test_after_a_stop_of_some_days_it_is_no_news(task, mailbox):
    with at(task.due_date + 50 * HOUR):
        assert send_due() == 0


def test_a_server_that_refuses_is_tried_again_later_and_five_times_at_most(task, mailbox):
    mailbox.refuse = "451 Not now"
    now = timezone.now()
    for minutes, attempts in [(0, 1), (0.5, 1), (2, 2), (8, 3), (24, 4), (90, 5), (300, 5)]:
        with at(now + timedelta(minutes=minutes)):
            assert send_due() == 0
            assert Reminder.objects.get().attempts == attempts

    reminder = Reminder.objects.get()
    assert reminder.status == "failed"
    assert "Not now" in reminder.error

    mailbox.refuse = ""
    assert reminders.retry_reminders(ids=[reminder.pk]) == [reminder.pk]
    assert send_due() == 1


def test_a_server_that_is_away_for_an_hour_loses_and_doubles_nothing(planner, settings, soon):
    tasks = TaskFactory.create_batch(3, due_date=soon)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    now = timezone.now()
    for minute in range(0, 60, 3):
        with at(now + timedelta(minutes=minute)):
            assert send_due() == 0

    with serving(settings) as mailbox, at(now + timedelta(hours=2)):
        assert send_due() == 3
        assert send_due() == 0

    assert len(mailbox.mails) == len({mail["Message-ID"] for mail in mailbox.mails}) == len(tasks)


@pytest.mark.parametrize(
    ("address", "answer", "status", "words"),
    [
        ("gone@example.com", "550 No such person", "failed", "No such person"),
        ("full@example.com", "452 Mailbox full", "pending", "Mailbox full"),
        ("a@b@c", "", "pending", "Invalid address"),
    ],
)
def test_a_dead_mailbox_holds_up_nobody_else_and_is_said_to_be_one(
    viewer, mailbox, soon, address, answer, status, words
):
    viewer.email = address
    viewer.save()
    dead = TaskFactory(due_date=soon, assignee=viewer)
    TaskFactory.create_batch(2, due_date=soon)
    mailbox.closed = {address: answer}

    assert send_due() == 2

    reminder = Reminder.objects.get(task=dead)
    assert (reminder.status, reminder.attempts) == (status, 1)
    assert words in reminder.error


def test_a_mail_that_is_refused_for_what_it_says_holds_up_no_other(planner, mailbox, soon):
    TaskFactory.create_batch(3, due_date=soon)
    mailbox.refuse = "554 Spam"

    assert send_due() == 0

    assert Reminder.objects.filter(status="failed", attempts=1, error__contains="Spam").count() == 3


def test_a_worker_that_died_while_sending_is_made_up_for_when_its_lease_ends(task, mailbox):
    reminders.arm()
    assert reminders._claim() is not None  # followed by kill -9

    assert send_due() == 0
    with at(timezone.now() + timedelta(minutes=6)):
        assert send_due() == 1


def test_one_that_kills_its_worker_five_times_is_given_up(task, mailbox):
    reminders.arm()
    now = timezone.now()
    for number in range(5):
        with at(now + timedelta(minutes=6 * number)):
            assert reminders._claim() is not None

    with at(now + timedelta(hours=1)):
        assert send_due() == 0
    assert Reminder.objects.get().error == "The worker died while it was sending."


def test_an_attempt_that_was_given_up_cannot_write_its_outcome(task):
    reminders.arm()
    late = reminders._claim()
    with at(timezone.now() + timedelta(minutes=6)):
        assert reminders._claim() is not None

    late.record(status="failed", error="too late")

    assert Reminder.objects.get().status == "pending"


def test_a_title_with_line_ends_does_not_write_headers(planner, mailbox, soon, settings):
    TaskFactory(title="Hello\r\nBcc: everybody@example.com", due_date=soon)

    assert send_due() == 1

    assert mailbox.mails[0]["Bcc"] is None
    assert mailbox.recipients == [settings.REMINDER_FALLBACK_EMAIL]


@pytest.mark.django_db(transaction=True)
def test_two_beats_and_doubled_messages_send_each_reminder_once(mailbox):
    TaskFactory.create_batch(12, due_date=timezone.now() + 5 * HOUR)
    start = threading.Barrier(4, timeout=10)

    def run() -> None:
        start.wait()
        try:
            send_due()
        finally:
            connection.close()

    workers = [threading.Thread(target=run) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(mailbox.mails) == len({mail["Message-ID"] for mail in mailbox.mails}) == 12
    assert Reminder.objects.filter(status="sent", attempts=1).count() == 12


def test_a_new_assignee_is_reminded_once_also_where_the_old_one_was(task, planner, viewer, mailbox):
    viewer.email = "vic@example.com"
    viewer.save(update_fields=["email"])
    send_due()

    services.update_task(task=task, assignee=viewer)
    assert (send_due(), send_due()) == (1, 0)
    services.update_task(task=task, assignee=planner)
    assert send_due() == 0

    assert [mail["To"] for mail in mailbox.mails] == ["paula@example.com", "vic@example.com"]
    assert Reminder.objects.filter(status="sent").count() == 2


def test_who_is_no_longer_the_assignee_is_not_reminded(task, viewer, mailbox):
    viewer.email = "vic@example.com"
    viewer.save(update_fields=["email"])
    reminders.arm()
    services.update_task(task=task, assignee=viewer)

    send_due()
    send_due()

    assert [mail["To"] for mail in mailbox.mails] == ["vic@example.com"]
    assert sorted(Reminder.objects.values_list("status", flat=True)) == ["dropped", "sent"]


def test_the_owner_is_reminded_once_also_where_an_assignee_without_an_address_follows(planner, viewer, soon, mailbox):
    planner.email = "paula@example.com"
    planner.save(update_fields=["email"])
    task = TaskFactory(due_date=soon, project=ProjectFactory(owner=planner))
    send_due()
    services.update_task(task=task, assignee=viewer)

    assert send_due() == 0
    assert [mail["To"] for mail in mailbox.mails] == ["paula@example.com"]
