"""The calendar in real browsers: moving dates by mouse and keyboard, live updates for others, and the link to copy."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
PEOPLE = """
from django.contrib.auth.models import Group, User
for name, group in (("paula", "planning"), ("omar", "planning"), ("vera", "viewer")):
    person = User.objects.create_user(name, password="12345", is_staff=True)
    person.groups.add(Group.objects.get(name=group))
"""
TASK = """
from datetime import UTC, datetime
from projects import services
from projects.models import Task
services.delete_tasks(ids=Task.objects.values_list("pk", flat=True))
project = services.create_project(name="Autumn sale")
# Late in the evening of Berlin's Tuesday.
services.create_task(project=project, title="Draw the banner", due_date=datetime(2031, 3, 11, 22, 30, tzinfo=UTC))
"""
DUE = datetime(2031, 3, 11, 22, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("calendar")) / "home") as instance:
        instance.run(PEOPLE)
        instance.start_web()
        yield instance


@pytest.fixture
def at_calendar(browser: Browser, instance: Instance) -> Iterator:
    instance.run(TASK)
    contexts = []

    def open_for(name: str, view: str = "month", width: int = 1300) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1400},
            timezone_id="Europe/Berlin",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        log_in(page, instance.url, name, "12345")
        page.goto(f"{instance.url}/admin/projects/task/calendar/?view={view}&at=2031-03-11")
        expect(page.get_by_text("Days in Europe/Berlin")).to_be_visible()
        page.evaluate("window.notReloaded = true")
        return page

    yield open_for
    for context in contexts:
        context.close()


def day(page: Page, iso: str) -> Locator:
    return page.locator(f".cal-day[data-day='{iso}']")


def task(place: Page | Locator) -> Locator:
    return place.locator(".cal-task").filter(has_text="Draw the banner")


def due(instance: Instance) -> datetime:
    return instance.one("SELECT due_date FROM projects_task")


@pytest.mark.parametrize("view", ["month", "week"])
def test_one_drags_a_date_and_the_other_sees_it_move_without_reloading(at_calendar, instance, view):
    paula, omar = at_calendar("paula", view), at_calendar("omar", view)
    expect(task(day(paula, "2031-03-11"))).to_be_visible()

    task(paula).drag_to(day(paula, "2031-03-14"))

    expect(task(day(paula, "2031-03-14"))).to_be_visible()
    expect(task(day(omar, "2031-03-14"))).to_be_visible()
    assert omar.evaluate("window.notReloaded")
    assert due(instance) == DUE + 3 * DAY  # at the same time of day


def test_a_date_moves_by_the_keyboard_keeps_the_focus_and_says_so(at_calendar, instance):
    paula = at_calendar("paula")

    task(paula).focus()
    paula.keyboard.press("ArrowRight")
    expect(task(day(paula, "2031-03-12"))).to_be_focused()
    expect(paula.locator("#moves-said")).to_have_text("Draw the banner: moved to Wednesday 12 March.")
    instance.wait_for(lambda: due(instance) == DUE + DAY)
    paula.keyboard.press("ArrowDown")

    expect(task(day(paula, "2031-03-19"))).to_be_focused()
    instance.wait_for(lambda: due(instance) == DUE + 8 * DAY)


def test_on_a_narrow_screen_a_task_is_seen_and_focused_on_the_free_day_it_was_moved_to(at_calendar, instance):
    paula = at_calendar("paula", width=390)
    expect(day(paula, "2031-03-12")).to_be_hidden()

    task(paula).focus()
    paula.keyboard.press("ArrowRight")

    expect(task(day(paula, "2031-03-12"))).to_be_focused()
    instance.wait_for(lambda: due(instance) == DUE + DAY)
    expect(day(paula, "2031-03-11")).to_be_hidden()
    paula.keyboard.press("ArrowDown")
    expect(task(day(paula, "2031-03-19"))).to_be_focused()


@pytest.mark.parametrize(("to", "days"), [("2031-03-20", 9), ("2031-05-10", 60)])
def test_on_a_touch_screen_a_date_is_chosen_on_this_page_or_beyond(at_calendar, instance, to, days):
    paula = at_calendar("paula", width=390)
    field = paula.get_by_label("Move “Draw the banner” to another day")

    field.fill(to)

    instance.wait_for(lambda: due(instance).date() == (DUE + days * DAY).date())
    expect(day(paula, "2031-03-11")).to_be_hidden()
    expect(task(paula)).to_have_count(1 if days == 9 else 0)


def test_a_refused_move_goes_back_and_says_why(at_calendar, instance):
    paula = at_calendar("paula")
    paula.route("**/calendar/move/", lambda route: route.abort())

    task(paula).drag_to(day(paula, "2031-03-14"))

    expect(paula.locator("#moves-problem")).to_contain_text("The server does not answer.")
    expect(task(day(paula, "2031-03-11"))).to_be_visible()
    assert due(instance) == DUE


def test_a_viewer_sees_it_move_and_moves_nothing(at_calendar, instance):
    paula, vera = at_calendar("paula"), at_calendar("vera")

    task(vera).focus()
    vera.keyboard.press("ArrowRight")
    task(paula).drag_to(day(paula, "2031-03-20"))

    expect(task(day(vera, "2031-03-20"))).to_be_visible()
    assert due(instance) == DUE + 9 * DAY


def test_the_link_is_made_copied_and_revoked(at_calendar, instance):
    paula = at_calendar("paula")

    paula.get_by_role("button", name="Create link").click()
    address = paula.locator("#cal-address").input_value()
    paula.get_by_role("button", name="Copy").click()

    expect(paula.get_by_role("button", name="Copied")).to_be_visible()
    assert paula.evaluate("navigator.clipboard.readText()") == address
    assert "BEGIN:VCALENDAR" in paula.request.get(address).text()
    paula.on("dialog", lambda dialog: dialog.accept())
    paula.get_by_role("button", name="Revoke").click()
    expect(paula.get_by_text("The calendar link is revoked and no longer works.")).to_be_visible()
    assert paula.request.get(address).status == 404
