"""Tasks in the viewer's time zone, on each day when clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from unittest import mock
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.utils import timezone

from accounts.zones import choose_zone
from core.tests.zone_walk import MINUTE, clock, in_zones, minutes_around, minutes_of
from projects import reminders, reports, services
from projects.factories import TaskFactory
from projects.models import Task

pytestmark = pytest.mark.django_db
TASKS, CALENDAR = "/admin/projects/task/", "/admin/projects/task/calendar/"


def freeze_time(moment: datetime):
    """Freeze Django's clock at this time."""
    return mock.patch.object(timezone, "now", lambda: moment)


@pytest.fixture
def near(day) -> list[Task]:
    """A task in every half hour of the surrounding days."""
    project = TaskFactory().project
    moments = [at for at in minutes_around(day, 1) if at.minute % 30 == 0]
    tasks = [TaskFactory.build(project=project, due_date=at, title=f"{at:%d %H:%M}") for at in moments]
    return Task.objects.bulk_create(tasks)


def untouched(form) -> dict[str, str]:
    """Return what a browser submits for the unchanged form of a task."""
    sent = {name: form[name].value() or "" for name in form.fields if name != "due_date"}
    sent |= {f"initial-{name}": value for name, value in sent.items()}
    due = form["due_date"]
    widget = due.field.widget.get_context("due_date", due.value(), {})["widget"]
    sent |= {"due_date": widget["value"], "due_date_offset": widget["offset"] if widget["choices"] else ""}
    return sent | {"initial-due_date": due.field.hidden_widget().format_value(due.value())}


def due_on(tasks: list[Task], zone: str, day: date) -> set[int]:
    return {task.pk for task in tasks if clock(zone, task.due_date).date() == day}


@in_zones
def test_due_today_is_the_day_of_the_person(as_planner, planner, near, zone, day, hours):
    choose_zone(user=planner, name=zone)
    minutes = minutes_of(zone, day)
    expected = due_on(near, zone, day)

    for now in (minutes[0], minutes[len(minutes) // 2], minutes[-1]):
        with freeze_time(now):
            as_planner.force_login(planner)
            listed = as_planner.get(TASKS, {"due": "today"}).context["cl"].queryset
            assert set(listed.values_list("pk", flat=True)) == expected
            assert as_planner.get("/admin/").status_code == 200
            late = as_planner.get(TASKS, {"due": "overdue"}).context["cl"].queryset
            assert set(late.values_list("pk", flat=True)) == {task.pk for task in near if task.due_date < now}


@in_zones
@pytest.mark.parametrize("view", ["month", "week"])
def test_the_calendar_has_each_task_on_its_local_day(as_planner, planner, near, zone, day, hours, view):
    choose_zone(user=planner, name=zone)

    page = as_planner.get(CALENDAR, {"at": day.isoformat(), "view": view})

    for shown in page.context["days"]:
        if abs((shown.date - day).days) <= 2:
            expected = due_on(near, zone, shown.date)
            assert shown.count == len(expected) and {task.pk for task in shown.tasks} <= expected
    [today] = [shown for shown in page.context["days"] if shown.date == day]
    listed = as_planner.get(f"{TASKS}?{today.query}").context["cl"]
    assert listed.result_count == len(due_on(near, zone, day))


@in_zones
def test_a_due_date_stays_where_it_is_when_something_else_is_saved(as_planner, planner, zone, day, hours):
    choose_zone(user=planner, name=zone)
    task = TaskFactory(due_date=timezone.now())

    for at in minutes_of(zone, day)[::90]:
        Task.objects.filter(pk=task.pk).update(due_date=at)
        form = as_planner.get(f"{TASKS}{task.pk}/change/").context["form"]
        with timezone.override(ZoneInfo(zone)):
            sent = untouched(form)
        as_planner.post(f"{TASKS}{task.pk}/change/", sent | {"title": f"Due {at}"})
        task.refresh_from_db()
        assert (task.title, task.due_date) == (f"Due {at}", at)


@in_zones
def test_a_date_is_moved_to_the_same_time_of_another_day(as_planner, planner, zone, day, hours):
    choose_zone(user=planner, name=zone)
    before = datetime.combine(day - timedelta(days=3), time(2, 15), ZoneInfo(zone)).astimezone(UTC)
    task = TaskFactory(due_date=before)

    as_planner.post(f"{CALENDAR}move/", {"task": task.pk, "day": day.isoformat()})

    shown = [at for at in minutes_of(zone, day) if clock(zone, at).time() >= time(2, 15)]
    assert Task.objects.get().due_date == shown[0]


def test_a_task_cannot_be_moved_to_a_day_that_was_skipped(as_planner, planner):
    choose_zone(user=planner, name="Pacific/Apia")
    task = TaskFactory(due_date=datetime(2011, 12, 28, 12, tzinfo=UTC))

    answer = as_planner.post(f"{CALENDAR}move/", {"task": task.pk, "day": "2011-12-30"})

    assert (answer.status_code, answer.json()["detail"]) == (400, "This day does not exist in your time zone.")


@in_zones
def test_a_report_counts_the_day_of_the_installation(near, settings, zone, day, hours):
    settings.TIME_ZONE = zone
    minutes = minutes_of(zone, day)
    Task.objects.filter(pk__in=[task.pk for task in near[:10]]).update(
        status=Task.Status.COMPLETED, completed_at=minutes[-1] + MINUTE * 0.5
    )
    open_tasks = [task for task in near[10:]]

    with freeze_time(minutes[0]):
        assert reports.count(day)["totals"]["due_today"] == len(due_on(open_tasks, zone, day))
    with freeze_time(minutes[-1] + timedelta(hours=7)):
        following = clock(zone, minutes[-1] + MINUTE).date()
        assert reports.count(following)["totals"]["done_yesterday"] == 10
        assert reports.generate_report()[0].date == following


def test_a_report_is_made_from_its_hour_on_in_the_zone_of_the_installation(settings, planner):
    settings.TIME_ZONE, settings.REPORT_HOUR = "Europe/Berlin", 6
    TaskFactory()

    for now, made in ((datetime(2026, 7, 1, 3, 59, tzinfo=UTC), 0), (datetime(2026, 7, 1, 4, 0, tzinfo=UTC), 1)):
        with freeze_time(now):
            reports.run_daily()
        assert reports.Report.objects.count() == made


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "Sunday 25 October 2026, 02:30 CET (Europe/Berlin)"),
        ("America/New_York", "Saturday 24 October 2026, 21:30 EDT (America/New York)"),
        ("Australia/Lord_Howe", "Sunday 25 October 2026, 12:30 UTC+11:00 (Australia/Lord Howe)"),
        ("Asia/Kolkata", "Sunday 25 October 2026, 07:00 IST (Asia/Kolkata)"),
        ("", "Sunday 25 October 2026, 01:30 UTC"),
    ],
)
def test_a_reminder_is_on_the_clock_of_its_reader_and_names_the_zone(planner, zone, words):
    if zone:
        choose_zone(user=planner, name=zone)
    planner.email = "paula@example.com"
    planner.save(update_fields=["email"])
    due = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    with freeze_time(due - timedelta(hours=5)):
        TaskFactory(assignee=planner, due_date=due)
        Task.objects.update(created_at=due - timedelta(days=5))
        reminders.send_due()

    [sent] = mail.outbox
    assert words in sent.body and words in sent.alternatives[0][0]


def test_history_names_the_zone_of_a_moment(as_planner, planner):
    choose_zone(user=planner, name="Europe/Berlin")
    task = TaskFactory(due_date=None)
    services.update_task(task=task, due_date=datetime(2026, 10, 25, 1, 30, tzinfo=UTC), actor=planner)

    page = as_planner.get(f"{TASKS}{task.pk}/change/").content.decode()
    record = as_planner.get(f"{TASKS}{task.pk}/history/").content.decode()

    assert "Due date: none → 25 Oct 2026, 02:30 CET" in page
    assert "25 Oct 2026, 02:30 CET" in record


def test_the_zone_of_the_browser_becomes_the_first_own_zone(as_planner, planner):
    as_planner.cookies["opsroom_zone"] = quote("Asia/Kolkata", safe="")
    assert as_planner.get(CALENDAR).context["zone"] == "Asia/Kolkata"

    as_planner.cookies["opsroom_zone"] = quote("Europe/Berlin", safe="")
    assert as_planner.get(CALENDAR).context["zone"] == "Asia/Kolkata"


def test_rest_answers_stay_in_utc_whatever_zone_a_person_has(planner_api, planner):
    choose_zone(user=planner, name="Asia/Kolkata")
    task = TaskFactory(due_date=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))

    assert planner_api.get(f"/tasks/{task.pk}/").json()["due_date"] == "2026-10-25T01:30:00Z"
