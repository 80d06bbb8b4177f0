"""The daily report: correct numbers, once a day, stored, published and mailed."""

import io
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection

from live.models import OutboxMessage
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Report
from projects.reports import count, generate_report, mail_reports, run_daily
from projects.tests.mail_server import serving

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 5, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def at_noon():
    with time_machine.travel(NOON, tick=True) as clock:
        yield clock


@pytest.fixture
def tasks(at_noon) -> None:
    launch = ProjectFactory(name="Launch")
    TaskFactory(project=launch, due_date=NOON + timedelta(hours=3))
    TaskFactory(project=launch, due_date=NOON - timedelta(hours=3), status="in_progress")
    TaskFactory(project=launch, due_date=NOON - 5 * DAY)
    TaskFactory(project=launch, due_date=NOON + 5 * DAY)
    TaskFactory(project=launch, status="completed", completed_at=NOON - DAY, due_date=NOON - DAY)
    TaskFactory(project__name="<b>Bold</b>", status="completed", completed_at=NOON)
    ProjectFactory(name="Empty")


def test_the_numbers_are_right(tasks):
    data = count(NOON.date())

    launch, bold = data["projects"]
    assert {name: value for name, value in launch.items() if name != "id"} == {
        "name": "Launch", "total": 5, "pending": 3, "in_progress": 1, "completed": 1, "due_today": 2, "overdue": 2,
        "done_yesterday": 1,
    }  # fmt: skip
    assert bold["done_yesterday"] == 0
    assert data["totals"] == {
        "total": 6, "pending": 3, "in_progress": 1, "completed": 2, "due_today": 2, "overdue": 2, "done_yesterday": 1
    }  # fmt: skip


def test_it_is_stored_told_and_mailed_as_text_and_html(tasks, mailbox, settings):
    settings.REPORT_EMAILS = ["team@example.com", "boss@example.com"]

    run_daily()

    report = Report.objects.get()
    assert report.date == NOON.date()
    assert report.mailed_at is not None
    told, mailed = OutboxMessage.objects.order_by("id")
    assert (told.topic, told.type) == ("projects", "report.generated")
    assert mailed.type == "report.updated"
    (mail,) = mailbox.mails
    assert mail["X-To"] == "team@example.com, boss@example.com"
    assert mail["Subject"] == "Opsroom on 2030-05-15: 2 due, 2 overdue, 1 done"
    assert "Launch" in mail.get_body(("plain",)).get_content()
    assert "&lt;b&gt;Bold" in mail.get_body(("html",)).get_content()


def test_it_is_made_and_mailed_once_however_often_it_is_started(tasks, mailbox):
    for _ in range(3):
        run_daily()
        call_command("make_report", stdout=io.StringIO())

    assert (
        Report.objects.count()
        == OutboxMessage.objects.filter(type="report.generated").count()
        == len(mailbox.mails)
        == 1
    )


def test_it_waits_for_its_hour_and_is_made_late_after_a_stop(tasks, at_noon, mailbox, settings):
    settings.REPORT_HOUR = 6
    at_noon.move_to(NOON.replace(hour=5, minute=59))
    run_daily()
    assert not Report.objects.exists()

    at_noon.move_to(NOON.replace(hour=22))
    run_daily()
    at_noon.move_to(NOON + DAY)
    run_daily()

    assert list(Report.objects.values_list("date", flat=True)) == [(NOON + DAY).date(), NOON.date()]


def test_the_day_before_is_made_up_for_after_a_stop_until_midnight(tasks, at_noon, mailbox, settings):
    settings.REPORT_HOUR = 6
    run_daily()
    at_noon.move_to(NOON.replace(hour=3) + 2 * DAY)
    run_daily()
    run_daily()

    assert Report.objects.filter(date=(NOON + DAY).date(), mailed_at__isnull=False).count() == 1
    assert Report.objects.count() == len(mailbox.mails) == 2


def test_no_report_is_made_of_a_day_before_the_house_began(tasks, at_noon, mailbox):
    at_noon.move_to(NOON.replace(hour=3))
    run_daily()
    run_daily()

    assert Report.objects.filter(date__lt=NOON.date()).count() == 0


def test_a_mail_that_is_not_taken_is_sent_later(tasks, at_noon, mailbox):
    mailbox.refuse = "451 Not now"
    run_daily()
    assert "Not now" in Report.objects.get().error

    mailbox.refuse = ""
    run_daily()
    assert mailbox.mails == []
    at_noon.move_to(NOON + timedelta(minutes=2))
    run_daily()
    run_daily()

    assert len(mailbox.mails) == 1
    assert Report.objects.get().error == ""


def test_an_hour_without_a_mail_server_costs_no_mail(tasks, at_noon, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    for minute in range(0, 60, 3):
        at_noon.move_to(NOON + timedelta(minutes=minute))
        run_daily()

    with serving(settings) as mailbox:
        at_noon.move_to(NOON + timedelta(hours=2))
        run_daily()
        run_daily()

    assert len(mailbox.mails) == 1


def test_one_that_kills_its_worker_five_times_is_given_up_with_the_reason(tasks, at_noon, mailbox):
    report, _ = generate_report()
    Report.objects.update(attempts=5, lease_until=NOON + timedelta(minutes=5))
    run_daily()
    assert Report.objects.get().error == ""

    at_noon.move_to(NOON + timedelta(minutes=6))
    run_daily()

    assert Report.objects.get(pk=report.pk).error == "The worker died while it was sending."
    assert mailbox.mails == []


def test_an_address_that_is_none_is_said_to_be_one(tasks, mailbox, settings):
    settings.REPORT_EMAILS = ["a@b@c"]

    run_daily()

    assert "Invalid address" in Report.objects.get().error


def test_nothing_is_mailed_of_an_empty_house_or_to_nobody(at_noon, mailbox, settings):
    run_daily()
    assert Report.objects.exists()
    settings.REPORT_EMAILS = []
    TaskFactory()
    generate_report(day=date(2030, 5, 16))

    assert mail_reports() == 0
    assert mailbox.mails == []


@pytest.mark.django_db(transaction=True)
def test_several_who_start_it_at_the_same_moment_make_one(mailbox, settings):
    settings.REPORT_HOUR = 0
    TaskFactory()
    start = threading.Barrier(4, timeout=10)

    def run() -> None:
        start.wait()
        try:
            run_daily()
        finally:
            connection.close()

    people = [threading.Thread(target=run) for _ in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert (
        Report.objects.count()
        == OutboxMessage.objects.filter(type="report.generated").count()
        == len(mailbox.mails)
        == 1
    )
