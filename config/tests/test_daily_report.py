"""The daily report contains the sections that other apps add."""

import pytest

from chats.models import Broadcast
from projects.reports import generate_report

pytestmark = pytest.mark.django_db


def test_the_chats_are_in_it():
    Broadcast.objects.create(text="Under way")

    report, _ = generate_report()

    sections = {section["name"]: section["rows"] for section in report.data["other_apps"]}
    assert sections["Chats"] == [
        {"name": "Broadcasts sent", "number": 0},
        {"name": "Messages delivered", "number": 0},
        {"name": "Broadcasts failed", "number": 0},
    ]
