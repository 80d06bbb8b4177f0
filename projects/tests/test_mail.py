"""Mails as a mail server receives them."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from django.utils import timezone

from projects.factories import TaskFactory
from projects.reminders import send_due

pytestmark = pytest.mark.django_db


def assert_is_seven_bit(mail) -> None:
    assert mail.as_bytes().isascii()
    assert max(len(line) for line in mail.as_bytes().split(b"\n")) <= 998
    for part in mail.walk():
        if not part.is_multipart():
            assert part["Content-Transfer-Encoding"] in ("quoted-printable", "base64")


def test_a_reminder_is_marked_as_automatic_and_passes_every_server(mailbox, settings, planner):
    settings.PUBLIC_URL = "https://ops.example.com:8443"
    planner.email = "paula@example.com"
    planner.save()
    description = f"Öffnen – Ω ☃\n.\n..a line with dots\n{'ü' * 400}{'x' * 1_200}"
    task = TaskFactory(
        title="Zähle die Schlüssel 🔑",
        description=description,
        assignee=planner,
        due_date=timezone.now() + timedelta(hours=2),
    )

    assert send_due() == 1

    [mail] = mailbox.mails
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@ops.example.com>")
    sent_at = parsedate_to_datetime(mail["Date"]).replace(tzinfo=UTC)  # without a time zone if the offset is -0000
    assert abs(sent_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Zähle die Schlüssel 🔑" in mail["Subject"]
    assert_is_seven_bit(mail)
    text, page = (part.get_content() for part in mail.iter_parts())
    assert "Öffnen – Ω ☃" in text and "\n.\n..a line" in text.replace("\r\n", "\n")
    for form in (text, page):
        assert f"https://ops.example.com:8443/admin/projects/task/{task.pk}/change/" in form


def test_a_reminder_in_plain_english_is_seven_bit_too(mailbox, settings, planner):
    settings.PUBLIC_URL = "http://127.0.0.1:8001"
    planner.email = "paula@example.com"
    planner.save()
    TaskFactory(title="Paint the door", assignee=planner, due_date=timezone.now() + timedelta(hours=2))

    assert send_due() == 1

    [mail] = mailbox.mails
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@127.0.0.1>")
    assert_is_seven_bit(mail)
    assert "http://127.0.0.1:8001/admin/projects/task/" in mail.get_body(("plain",)).get_content()
