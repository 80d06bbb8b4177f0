"""The calendar: days in the viewer's time zone, due dates that can be moved, and a feed link that is shown once."""

import re
from datetime import UTC, date, datetime, timedelta
from html import unescape

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from projects import services
from projects.admin.calendar_grid import CalendarRange
from projects.factories import ProjectFactory, TaskFactory
from projects.models import CalendarToken, Task

pytestmark = pytest.mark.django_db
CALENDAR = "/admin/projects/task/calendar/"
MOVE = f"{CALENDAR}move/"
LINK = f"{CALENDAR}link/"


@pytest.fixture
def task() -> Task:
    return TaskFactory(title="Draw the banner", due_date=datetime(2031, 3, 10, 23, 30, tzinfo=UTC))


def day_of(page, task: Task) -> date:
    [day] = [day.date for day in page.context["days"] if task in day.tasks]
    return day


def test_a_task_is_on_the_day_it_is_due_where_the_viewer_is(as_planner, task):
    assert day_of(as_planner.get(CALENDAR, {"at": "2031-03-01"}), task) == date(2031, 3, 10)

    as_planner.cookies["opsroom_zone"] = "Europe%2FBerlin"

    assert day_of(as_planner.get(CALENDAR, {"at": "2031-03-01"}), task) == date(2031, 3, 11)


@pytest.mark.parametrize(("view", "shown"), [("month", 20), ("week", 100)])
def test_a_full_day_says_how_many_more_there_are_and_hides_no_other_day(as_planner, task, view, shown):
    as_planner.cookies["opsroom_zone"] = "Europe%2FBerlin"
    TaskFactory.create_batch(130, project=task.project, due_date=datetime(2031, 3, 9, 23, 30, tzinfo=UTC))

    page = as_planner.get(CALENDAR, {"at": "2031-03-10", "view": view, "project": task.project_id})

    [full] = [day for day in page.context["days"] if day.date == date(2031, 3, 10)]
    assert (len(full.tasks), full.more) == (shown, 130 - shown)
    [link] = re.findall(rf'href="([^"]+)">and {130 - shown} more', page.content.decode())
    assert day_of(page, task) == date(2031, 3, 11)
    assert as_planner.get(unescape(link)).context["cl"].result_count == 130


@pytest.mark.parametrize("at", ["2026-01-31", "2026-02-01", "2026-12-31", "2032-02-29"])
def test_a_month_is_whole_weeks_and_has_its_neighbours(at):
    span = CalendarRange.of("month", at)

    assert span.first.weekday() == 0 and span.last.weekday() == 6
    assert span.first <= span.at.replace(day=1) and span.last >= span.at
    assert (span.after - span.at.replace(day=1)).days in (28, 29, 30, 31)
    assert (span.before + timedelta(days=1)).day == 1


def test_a_week_is_seven_days_from_monday():
    span = CalendarRange.of("week", "2026-11-21")

    assert (span.first, span.last) == (date(2026, 11, 16), date(2026, 11, 22))
    assert span.words == "16 Nov – 22 Nov 2026"


@pytest.mark.parametrize("query", [{"at": "nonsense"}, {"at": "9999-12-31"}, {"view": "x"}, {"project": "9" * 40}])
def test_nonsense_in_the_address_is_today(as_planner, query):
    assert as_planner.get(CALENDAR, query).status_code == 200


def test_one_project_alone(as_planner, task):
    other = ProjectFactory()

    page = as_planner.get(CALENDAR, {"at": "2031-03-01", "project": other.pk})

    assert "Draw the banner" not in page.content.decode()


def test_what_is_overdue_is_listed_whatever_the_month(as_planner):
    TaskFactory(title="Order keys", due_date=timezone.now() - timedelta(days=3))

    page = as_planner.get(CALENDAR, {"at": "2035-01-01"}).content.decode()

    assert "1 overdue" in page and "Order keys" in page


def test_the_calendar_asks_no_more_for_many_tasks(as_planner, django_assert_max_num_queries):
    TaskFactory.create_batch(30, due_date=timezone.now())

    with django_assert_max_num_queries(14):
        as_planner.get(CALENDAR)


# --- Moving -------------------------------------------------------------------------------------------
def test_a_moved_date_keeps_its_time_where_the_viewer_is(as_planner, task):
    as_planner.cookies["opsroom_zone"] = "Europe%2FBerlin"

    answer = as_planner.post(MOVE, {"task": task.pk, "day": "2031-07-01"})

    assert answer.status_code == 200
    assert timezone.localtime(Task.objects.get().due_date, UTC) == datetime(2031, 6, 30, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(("day", "status"), [("1970-01-01", 400), ("1970-01-02", 200), ("2999-12-01", 200)])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_date_is_moved_as_far_as_something_can_be_due(as_planner, task, zone, day, status):
    as_planner.cookies["opsroom_zone"] = zone

    assert as_planner.post(MOVE, {"task": task.pk, "day": day}).status_code == status


@pytest.mark.parametrize("given", [{"day": "x"}, {"day": "2031-02-30"}, {"task": "999"}, {"task": "x"}])
def test_a_move_that_cannot_be_is_refused_in_words(as_planner, task, given):
    answer = as_planner.post(MOVE, {"task": task.pk, "day": "2031-03-12", **given})

    assert answer.status_code in (400, 404)
    assert answer.json()["detail"].endswith(".")
    assert Task.objects.get().due_date == task.due_date


def test_a_date_is_not_moved_from_a_day_where_it_is_no_longer(as_planner, task):
    before = task.due_date

    answer = as_planner.post(MOVE, {"task": task.pk, "day": "2031-03-25", "from": "2031-03-01"})

    assert answer.status_code == 409
    assert "Another user changed its date meanwhile." in answer.json()["detail"]
    task.refresh_from_db()
    assert task.due_date == before


def test_a_time_that_another_user_sets_while_a_date_is_moved_is_not_overwritten(as_planner, task, monkeypatch):
    later = task.due_date + timedelta(hours=3)
    update = services.update_task

    def after_the_other(**given):
        Task.objects.filter(pk=task.pk).update(due_date=later)
        return update(**given)

    monkeypatch.setattr(services, "update_task", after_the_other)
    answer = as_planner.post(MOVE, {"task": task.pk, "day": "2031-03-25"})

    assert answer.status_code == 409
    task.refresh_from_db()
    assert task.due_date == later


def test_a_viewer_looks_and_moves_nothing(as_viewer, task):
    page = as_viewer.get(CALENDAR, {"at": "2031-03-01"}).content.decode()

    assert "Draw the banner" in page and 'draggable="true"' not in page
    assert as_viewer.post(MOVE, {"task": task.pk, "day": "2031-03-12"}).status_code == 403


def test_a_stranger_sees_no_calendar(as_stranger):
    for address in (CALENDAR, f"{CALENDAR}days/"):
        assert as_stranger.get(address).status_code == 403
    assert as_stranger.post(LINK, {"do": "renew"}).status_code == 403


# --- The link -----------------------------------------------------------------------------------------
def renewed(client) -> str:
    """Create a new link. Return its address from the page to which the button redirects."""
    answer = client.post(LINK, {"do": "renew"})
    assert answer.headers["Location"] == CALENDAR
    return client.get(CALENDAR).context["fresh_link"]


def test_the_link_is_shown_after_a_redirect_and_opens_the_feed(as_planner, client, task):
    address = renewed(as_planner)

    assert address in as_planner.get(CALENDAR).content.decode()  # reloading keeps the address
    assert client.get(address).content.startswith(b"BEGIN:VCALENDAR")


def test_the_link_is_shown_in_one_browser_only_and_for_some_minutes(as_planner, planner, task):
    address = renewed(as_planner)
    other = Client()
    other.force_login(planner)
    cookie = next(each for name, each in as_planner.cookies.items() if name.endswith("_shown_once"))

    assert address not in other.get(CALENDAR).content.decode()
    assert cookie["max-age"] == 600 and cookie["path"] == CALENDAR and cookie["httponly"]


def test_another_user_of_the_browser_does_not_see_the_link(as_planner, superuser, task):
    address = renewed(as_planner)

    as_planner.force_login(superuser)

    assert address not in as_planner.get(CALENDAR).content.decode()


def test_the_cookie_of_the_link_says_nothing_once_its_user_has_signed_out(as_planner, planner, task):
    address = renewed(as_planner)
    cookie = next(each.value for name, each in as_planner.cookies.items() if name.endswith("_shown_once"))

    as_planner.logout()
    as_planner.force_login(planner)
    as_planner.cookies[f"{settings.SESSION_COOKIE_NAME}_shown_once"] = cookie

    assert address.split("/")[-1].removesuffix(".ics") not in cookie
    assert address not in as_planner.get(CALENDAR).content.decode()


def test_a_new_link_ends_the_old_one_and_revoking_ends_both(as_planner, client, planner):
    old, new = renewed(as_planner), renewed(as_planner)

    assert (client.get(old).status_code, client.get(new).status_code) == (404, 200)

    as_planner.post(LINK, {"do": "revoke"})

    assert client.get(new).status_code == 404
    assert not CalendarToken.objects.filter(user=planner).exists()
