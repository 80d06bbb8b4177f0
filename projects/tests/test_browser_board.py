"""Two users in two browsers at one board, on a real instance."""

import re
from collections.abc import Iterator
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
LISTEN = "() => { window.heard = new Promise((hear) => document.addEventListener('live', hear, { capture: true })) }"
PROJECT = """
from projects import services
project = services.create_project(name="Autumn sale")
for title in ("Draw the banner", "Write the text"):
    services.create_task(project=project, title=title)
"""

MOVE = """
from projects import services
from projects.models import Task
services.move_task(task=Task.objects.get(project={project}, title="Draw the banner"), status="in_progress")
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("board")) / "home") as instance:
        instance.run(PEOPLE)
        instance.start_web()
        yield instance


@pytest.fixture
def project(instance: Instance) -> int:
    instance.run(PROJECT)
    return instance.one("SELECT max(id) FROM projects_project")


@pytest.fixture
def at_board(browser: Browser, instance: Instance, project: int) -> Iterator:
    contexts = []

    def open_for(name: str) -> Page:
        context = browser.new_context(viewport={"width": 1300, "height": 900}, timezone_id="Europe/Berlin")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        log_in(page, instance.url, name, "12345")
        page.goto(f"{instance.url}/admin/projects/project/{project}/board/")
        page.evaluate("window.notReloaded = true")
        return page

    yield open_for
    for context in contexts:
        context.close()


def column(page: Page, status: str) -> Locator:
    return page.locator(f".board-column[data-status={status}]")


def card(place: Page | Locator, title: str = "Draw the banner") -> Locator:
    return place.locator(".board-card").filter(has_text=title)


def status_of(instance: Instance, project: int, title: str = "Draw the banner") -> str:
    return instance.one("SELECT status FROM projects_task WHERE project_id = %s AND title = %s", project, title)


def test_one_drags_a_card_and_the_other_sees_it_move_without_reloading(at_board, instance, project):
    paula, omar = at_board("paula"), at_board("omar")

    card(paula).drag_to(column(paula, "completed"))

    expect(card(column(paula, "completed"))).to_be_visible()
    expect(card(column(omar, "completed"))).to_be_visible()
    expect(omar.get_by_text("1 of 2")).to_be_visible()
    assert omar.evaluate("window.notReloaded")
    assert status_of(instance, project) == "completed"


def test_a_card_moves_by_the_keyboard_and_says_so(at_board, instance, project):
    paula = at_board("paula")

    card(paula).focus()
    paula.keyboard.press("ArrowRight")

    expect(card(column(paula, "in_progress"))).to_be_focused()
    expect(paula.locator("#moves-said")).to_have_text("Draw the banner: moved to In progress.")
    paula.keyboard.press("ArrowLeft")
    expect(card(column(paula, "pending"))).to_be_focused()
    instance.wait_for(lambda: status_of(instance, project) == "pending")


def test_two_quick_moves_arrive_in_their_order_though_the_first_is_slow_on_its_way(at_board, instance, project):
    paula = at_board("paula")
    held, order = [], []

    def hold_the_first(route):
        order.append("status=in_progress" in route.request.post_data)
        held.append(route) if len(order) == 1 else route.continue_()

    paula.route("**/board/move/", hold_the_first)
    card(paula).focus()
    paula.keyboard.press("ArrowRight")
    paula.keyboard.press("ArrowRight")
    expect(card(column(paula, "completed"))).to_be_focused()
    assert order == [True]  # the second move waits for the response to the first

    held[0].continue_()

    expect(paula.locator("#moves-said")).to_have_text("Draw the banner: moved to Completed.")
    assert order == [True, False]
    assert status_of(instance, project) == "completed"


def test_a_card_that_another_user_has_moved_goes_where_it_is_and_says_so(at_board, instance, project):
    paula = at_board("paula")
    not_heard = [True]
    paula.route(re.compile("/board/cards/"), lambda route: route.abort() if not_heard else route.continue_())
    paula.route("**/board/move/", lambda route: (not_heard.clear(), route.continue_()))  # until then, reloads fail
    instance.run(MOVE.format(project=project))

    card(paula).drag_to(column(paula, "completed"))

    expect(paula.locator("#moves-problem")).to_contain_text("Another user moved it meanwhile.")
    expect(card(column(paula, "in_progress"))).to_be_visible()
    assert status_of(instance, project) == "in_progress"


def test_a_card_that_is_held_while_others_move_theirs_is_dragged_all_the_same(at_board):
    paula, omar = at_board("paula"), at_board("omar")
    paula.wait_for_load_state("networkidle")
    paula.evaluate(LISTEN)
    card(paula).hover()
    paula.mouse.down()

    card(omar, "Write the text").focus()
    omar.keyboard.press("ArrowRight")
    paula.evaluate("window.heard.then(() => true)")
    paula.wait_for_load_state("networkidle")
    column(paula, "completed").hover()
    paula.mouse.up()

    expect(card(column(paula, "completed"))).to_be_visible()
    expect(card(column(omar, "completed"))).to_be_visible()
    expect(card(column(paula, "in_progress"), "Write the text")).to_be_visible()


def test_a_refused_move_goes_back_and_says_why(at_board, instance, project):
    paula = at_board("paula")
    paula.route("**/board/move/", lambda route: route.abort())

    card(paula).drag_to(column(paula, "completed"))

    expect(paula.locator("#moves-problem")).to_contain_text("is back in Pending. The server does not answer.")
    expect(card(column(paula, "pending"))).to_be_visible()
    assert status_of(instance, project) == "pending"


def test_a_card_is_added_in_place_while_others_watch(at_board):
    paula, omar = at_board("paula"), at_board("omar")
    field = column(paula, "in_progress").locator("textarea")

    column(paula, "in_progress").get_by_text("Add a card").click()
    field.press("Enter")
    expect(column(paula, "in_progress").get_by_text("Enter a title.")).to_be_visible()
    field.fill("Order keys")
    field.press("Enter")

    expect(card(column(paula, "in_progress"), "Order keys")).to_be_visible()
    expect(card(column(omar, "in_progress"), "Order keys")).to_be_visible()
    expect(field).to_have_value("")


def test_what_one_is_typing_survives_what_others_do(at_board):
    paula, omar = at_board("paula"), at_board("omar")
    column(omar, "pending").get_by_text("Add a card").click()
    column(omar, "pending").locator("textarea").fill("half a sent")

    card(paula).drag_to(column(paula, "completed"))

    expect(card(column(omar, "completed"))).to_be_visible()
    expect(column(omar, "pending").locator("textarea")).to_have_value("half a sent")
    expect(column(omar, "pending").locator("textarea")).to_be_focused()


def test_a_viewer_sees_it_move_and_has_no_handles(at_board, instance, project):
    paula, vera = at_board("paula"), at_board("vera")

    expect(vera.locator("[draggable=true], [data-to], .board-add")).to_have_count(0)
    card(vera).focus()
    vera.keyboard.press("ArrowRight")
    card(paula).drag_to(column(paula, "in_progress"))

    expect(card(column(vera, "in_progress"))).to_be_visible()
    assert (
        instance.one(
            "SELECT count(*) FROM projects_historicaltask WHERE history_type = '~' AND project_id = %s", project
        )
        == 1
    )
