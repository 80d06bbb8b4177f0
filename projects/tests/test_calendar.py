"""The iCalendar feed: it needs only its address, and works while its owner may view tasks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from projects.calendar import feed
from projects.factories import TaskFactory
from projects.models import CalendarToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(planner_api) -> str:
    return planner_api.post("/calendar/token/").json()["url"]


def unfolded(answer) -> list[str]:
    text = answer.content.decode()
    assert text.count("\n") == text.count("\r\n")
    return text.replace("\r\n ", "").split("\r\n")


def test_open_tasks_with_a_date_are_events(address, client):
    due = timezone.now().replace(microsecond=0) + timedelta(days=3)
    task = TaskFactory(title="Paint; red, or \\ blue?", description="a\nb", due_date=due, project__name="Übung " * 20)
    TaskFactory(due_date=due, completed=True)
    TaskFactory()

    answer = client.get(address)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert all(len(line) <= 75 for line in answer.content.split(b"\r\n"))
    lines = unfolded(answer)
    assert lines.count("BEGIN:VEVENT") == 1
    assert (lines[0], lines[-2]) == ("BEGIN:VCALENDAR", "END:VCALENDAR")
    assert f"UID:task-{task.pk}@opsroom" in lines
    assert due.strftime("DTSTART:%Y%m%dT%H%M%SZ") in lines
    assert "SUMMARY:Paint\\; red\\, or \\\\ blue?" in lines
    assert "DESCRIPTION:a\\nb" in lines


def test_only_mine_leaves_out_what_is_somebody_elses(address, client, planner, viewer):
    due = timezone.now() + timedelta(days=1)
    mine = TaskFactory(due_date=due, assignee=planner)
    owned = TaskFactory(due_date=due, project__owner=planner)
    TaskFactory(due_date=due, assignee=viewer, project=owned.project)
    TaskFactory(due_date=due)

    found = [line for line in unfolded(client.get(f"{address}?mine=1")) if line.startswith("UID")]

    assert found == [f"UID:task-{mine.pk}@opsroom", f"UID:task-{owned.pk}@opsroom"]


def test_a_new_address_closes_the_old_one_and_a_revoked_one_is_closed(address, client, planner_api):
    newer = planner_api.post("/calendar/token/").json()["url"]
    assert client.get(address).status_code == 404
    assert client.get(newer).status_code == 200

    assert planner_api.delete("/calendar/token/").status_code == 204
    assert client.get(newer).status_code == 404
    assert client.get("/calendar/guess.ics").status_code == 404


def test_whoever_may_not_see_tasks_any_more_has_no_feed(address, client, planner):
    planner.groups.clear()
    assert client.get(address).status_code == 404


def test_the_secret_is_not_stored(planner_api):
    secret = planner_api.post("/calendar/token/").json()["token"]

    token = CalendarToken.objects.get()
    assert secret not in token.key_hash
    assert len(token.key_hash) == 64


def test_a_feed_that_leaves_some_out_says_where_and_how_many(address, client, monkeypatch):
    monkeypatch.setattr(feed, "MAX_TASKS", 3)
    soon = timezone.now().replace(microsecond=0) + timedelta(days=1)
    for number in range(5):
        TaskFactory(due_date=soon + timedelta(days=number))

    text = client.get(address).content.decode()

    assert text.count("BEGIN:VEVENT") == 4
    assert "SUMMARY:2 more due after this: see Opsroom\r\n" in text
    assert f"DTSTART:{soon + timedelta(days=3):%Y%m%dT%H%M%SZ}" in text
