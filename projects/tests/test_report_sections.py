"""Report sections of other apps: in the admin, in REST and in the mail."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from core import report_sections
from projects.factories import TaskFactory
from projects.reports import generate_report, mail_reports, register

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def sections(monkeypatch) -> dict:
    """Only the test's own sections."""
    monkeypatch.setattr(report_sections, "_SECTIONS", {})
    return report_sections._SECTIONS


def test_a_section_is_counted_for_the_day_before_and_stored_in_the_order_of_names():
    asked = []
    register("Test runs", lambda day: asked.append(day) or [("Passed", 41), ("Failed", 0)])
    register("Chats", lambda day: [("Messages delivered", 1_000_000)])

    report, _ = generate_report(day=date(2030, 5, 15))

    assert asked == [date(2030, 5, 14)]
    assert report.data["other_apps"] == [
        {"name": "Chats", "rows": [{"name": "Messages delivered", "number": 1_000_000}]},
        {"name": "Test runs", "rows": [{"name": "Passed", "number": 41}, {"name": "Failed", "number": 0}]},
    ]


def test_a_section_that_fails_or_has_nothing_to_say_is_left_out_and_the_report_is_made():
    def broken(day: date) -> list:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        return []

    register("Broken", broken)
    register("Silent", lambda day: [])
    register("Sound", lambda day: [("Things", 1)])

    report, made = generate_report()

    assert made
    assert [section["name"] for section in report.data["other_apps"]] == ["Sound"]


def test_it_is_in_both_forms_of_the_mail_on_screen_and_in_rest(mailbox, as_viewer, viewer_api):
    TaskFactory()
    register("Chats", lambda day: [("Messages <delivered>", 1_234)])
    report, _ = generate_report(day=TODAY)

    assert mail_reports() == 1

    (mail,) = mailbox.mails
    assert "Messages <delivered>: 1234" in mail.get_body(("plain",)).get_content()
    assert "Messages &lt;delivered&gt;" in mail.get_body(("html",)).get_content()
    page = as_viewer.get(f"/admin/projects/report/{report.pk}/change/").content.decode()
    assert "What else happened" in page and "1,234" in page
    assert viewer_api.get(f"/reports/{TODAY}/").json()["other_apps"] == report.data["other_apps"]


def test_a_report_from_before_there_were_sections_still_shows(mailbox, as_viewer, viewer_api):
    TaskFactory()
    report, _ = generate_report(day=TODAY)
    del report.data["other_apps"]
    report.save(update_fields=["data"])

    assert mail_reports() == 1
    assert "What else" not in mailbox.mails[0].get_body(("plain",)).get_content()
    assert "What else" not in as_viewer.get(f"/admin/projects/report/{report.pk}/change/").content.decode()
    assert viewer_api.get(f"/reports/{TODAY}/").json()["other_apps"] == []
