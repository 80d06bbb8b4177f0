"""Mailing a report again: on request, as a new mail, once."""

import threading
from datetime import date, timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.utils import timezone

from projects.models import Report
from projects.reports import NotResent, mail_reports, resend

pytestmark = pytest.mark.django_db
TOTALS = {
    "total": 4, "pending": 1, "in_progress": 1, "completed": 2, "due_today": 0, "overdue": 1, "done_yesterday": 2
}  # fmt: skip


@pytest.fixture
def report() -> Report:
    """An old report, from before there were sections, that was mailed at the time."""
    return Report.objects.create(
        date=date(2026, 3, 10), data={"totals": TOTALS, "projects": []}, mailed_at=timezone.now() - timedelta(days=90)
    )


def page_of(report: Report) -> str:
    return f"/admin/projects/report/{report.pk}/"


def press(client, report: Report, known: str | None = None):
    """Send what the dialog's button submits."""
    shown = client.get(f"{page_of(report)}resend/", headers={"HX-Request": "true"}).context["known"]
    return client.post(f"{page_of(report)}resend/", {"mailed_at": shown if known is None else known}, follow=True)


def words_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_it_goes_out_once_more_under_another_id_and_says_who_asked(as_planner, report, mailbox, settings):
    settings.REPORT_EMAILS = ["team@example.com", "boss@example.com"]
    before = report.mailed_at

    answer = press(as_planner, report)

    assert words_of(answer) == ["The report of 10 March 2026 is being mailed again."]
    assert "Being mailed again" in answer.content.decode()
    assert mailbox.mails == []  # a worker sends it
    assert mail_reports() == 1
    assert mail_reports() == 0
    (mail,) = mailbox.mails
    assert mail["X-To"] == "team@example.com, boss@example.com"
    assert mail["Subject"] == "Opsroom on 2026-03-10: 0 due, 1 overdue, 2 done"
    assert not mail["Message-ID"].startswith(f"<report-2026-03-10-{report.pk}@")
    report.refresh_from_db()
    assert report.mailed_at > before and report.resend_at is None
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("paula", str(report.pk))
    assert entry.get_change_message() == "Mailed again to team@example.com, boss@example.com."
    assert "paula mailed it again" in as_planner.get(f"{page_of(report)}change/").content.decode()


def test_a_double_click_is_one_mail_whether_the_first_has_gone_or_not(as_planner, report, mailbox):
    shown = report.mailed_at.isoformat()
    press(as_planner, report, shown)

    early = press(as_planner, report, shown)
    mail_reports()
    late = press(as_planner, report, shown)
    mail_reports()

    assert words_of(early) == ["This report is being mailed already, so it was not mailed a second time."]
    assert words_of(late) == ["This report was mailed again meanwhile, so it was not mailed a second time."]
    assert len(mailbox.mails) == LogEntry.objects.count() == 1


def test_who_asks_again_afterwards_gets_a_mail_with_an_id_of_its_own(as_planner, report, mailbox):
    for _ in range(2):
        press(as_planner, report)
        mail_reports()

    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 2


def test_a_mail_that_is_going_out_at_this_moment_is_not_doubled(planner, mailbox):
    today = timezone.now().date()
    lease = timezone.now() + timedelta(minutes=5)
    report = Report.objects.create(
        date=today, data={"totals": TOTALS, "projects": []}, attempts=1, lease_until=lease
    )  # fmt: skip

    with pytest.raises(NotResent, match="being mailed already"):
        resend(report=report, actor=planner, mailed_at=None)


def test_one_that_was_given_up_gets_five_attempts_more(planner, mailbox):
    report = Report.objects.create(
        date=timezone.now().date(), data={"totals": TOTALS, "projects": []}, attempts=5, error="Not now"
    )
    assert mail_reports() == 0

    resend(report=report, actor=planner, mailed_at=None)
    mailbox.refuse = "451 Not now"
    later = timezone.now()
    for _ in range(6):
        with time_machine.travel(later, tick=True):
            assert mail_reports() == 0
        later += timedelta(minutes=61)
    assert Report.objects.get().attempts == 5
    mailbox.refuse = ""
    with time_machine.travel(later, tick=True):
        resend(report=report, actor=planner, mailed_at=None)
        assert mail_reports() == 1

    report.refresh_from_db()
    assert (report.error, report.resend_at) == ("", None)


def test_without_anybody_to_mail_to_the_question_says_so(as_planner, planner, report, settings):
    settings.REPORT_EMAILS = []

    assert "REPORT_EMAILS is empty" in as_planner.get(f"{page_of(report)}resend/").content.decode()
    with pytest.raises(NotResent, match="REPORT_EMAILS is empty"):
        resend(report=report, actor=planner, mailed_at=report.mailed_at)


def test_a_viewer_has_no_button_and_no_say(as_viewer, as_planner, report):
    listed = "/admin/projects/report/"
    for page in (listed, f"{page_of(report)}change/"):
        assert "Mail again" in as_planner.get(page).content.decode()
        assert "Mail again" not in as_viewer.get(page).content.decode()

    assert as_viewer.get(f"{page_of(report)}resend/").status_code == 403
    assert as_viewer.post(f"{page_of(report)}resend/").status_code == 403
    assert as_planner.post("/admin/projects/report/999999/resend/").status_code == 404


@pytest.mark.parametrize("known", ["nonsense", "2026-02-31T00:00:00Z", "", "2026-03-10T00:00:00"])
def test_what_no_page_has_shown_sends_nothing(as_planner, report, mailbox, known):
    assert words_of(press(as_planner, report, known)) == [
        "This report was mailed again meanwhile, so it was not mailed a second time."
    ]
    assert mail_reports() == 0


@pytest.mark.django_db(transaction=True)
def test_four_presses_at_the_same_moment_are_one_mail(planner, report, mailbox):
    start = threading.Barrier(4, timeout=10)
    refused = []

    def run() -> None:
        start.wait()
        try:
            resend(report=Report.objects.get(), actor=planner, mailed_at=report.mailed_at)
            mail_reports()
        except NotResent as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    presses = [threading.Thread(target=run) for _ in range(4)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()

    assert (len(mailbox.mails), len(refused)) == (1, 3)
