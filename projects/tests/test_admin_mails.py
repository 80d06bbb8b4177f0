"""The page of outgoing mails, read from the files of the mail backend."""

from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives, send_mail

pytestmark = pytest.mark.django_db
MAILS = "/admin/projects/project/mails/"


@pytest.fixture
def folder(tmp_path: Path, settings) -> Path:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mails")
    return tmp_path / "mails"


def test_mails_are_shown_with_subject_receiver_and_text(as_planner, folder):
    send_mail("Due: Zähle die Schlüssel", "It is due tomorrow – at nine.", "house@example.com", ["omar@example.com"])

    page = as_planner.get(MAILS).content.decode()

    assert "Due: Zähle die Schlüssel" in page and "omar@example.com" in page
    assert "It is due tomorrow – at nine." in page


def test_of_a_mail_in_two_forms_the_text_is_shown(as_planner, folder):
    mail = EmailMultiAlternatives("Report", "done: 3", "house@example.com", ["omar@example.com"])
    mail.attach_alternative("<script>alert(1)</script>", "text/html")
    mail.send()

    page = as_planner.get(MAILS).content.decode()

    assert "done: 3" in page and "<script>alert" not in page


def test_nothing_yet_is_said_in_words(as_planner, folder):
    assert "No e-mail yet" in as_planner.get(MAILS).content.decode()


def test_a_file_of_another_kind_does_no_harm(as_planner, folder):
    folder.mkdir()
    (folder / "x.log").write_bytes(b"\xff\xfe\x00 no mail at all")

    assert as_planner.get(MAILS).status_code == 200


def test_they_are_for_planners_and_superusers_only(as_viewer, as_superuser, folder):
    assert as_viewer.get(MAILS).status_code == 403
    assert as_superuser.get(MAILS).status_code == 200
    assert "mails/" not in as_viewer.get("/admin/").content.decode()


def test_an_instance_that_sends_its_mails_has_no_such_page(as_superuser, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

    assert as_superuser.get(MAILS).status_code == 404
    assert "mails/" not in as_superuser.get("/admin/").content.decode()
