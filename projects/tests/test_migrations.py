"""Migrations of rows that earlier versions have written."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest

from core.tests.migrating import migrate, migrated_back
from projects.models import Report

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def earlier() -> Iterator[Callable[..., None]]:
    with migrated_back() as to:
        yield to


def test_stored_reports_name_other_apps_and_lose_nothing(earlier):
    earlier(("projects", "0009_reminder_once_a_person"))
    sections = [{"name": "Chats", "rows": [{"name": "Broadcasts sent", "number": 3}]}]
    Report.objects.create(date=date(2026, 1, 1), data={"totals": {"total": 1}, "projects": [], "house": sections})
    Report.objects.create(date=date(2026, 1, 2), data={"totals": {"total": 2}, "projects": []})

    migrate()

    old, older = Report.objects.order_by("date")
    assert old.data == {"totals": {"total": 1}, "projects": [], "other_apps": sections}
    assert older.data == {"totals": {"total": 2}, "projects": []}
