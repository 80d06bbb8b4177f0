"""Two users at one task's page, on a real instance: no input is lost. Also the list of all tasks."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

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
for name in ("paula", "omar"):
    person = User.objects.create_user(name, password="12345", is_staff=True)
    person.groups.add(Group.objects.get(name="planning"))
"""
TASK = """
from projects import services
from projects.models import Comment
task = services.create_task(project=services.create_project(name="Autumn sale"), title="Draw the banner")
Comment.objects.bulk_create(Comment(task=task, author="ann", content=f"Comment {n}") for n in range(60))
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("task")) / "home") as instance:
        instance.run(PEOPLE)
        instance.start_web()
        yield instance


@pytest.fixture
def task(instance: Instance) -> int:
    instance.run(TASK)
    return instance.one("SELECT max(id) FROM projects_task")


@pytest.fixture
def at_task(browser: Browser, instance: Instance, task: int) -> Iterator:
    contexts = []

    def open_for(name: str) -> Page:
        context = browser.new_context(viewport={"width": 1300, "height": 900}, timezone_id="UTC")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        log_in(page, instance.url, name, "12345")
        page.goto(f"{instance.url}/admin/projects/task/{task}/change/")
        page.evaluate("window.notReloaded = true")
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    yield open_for
    for context in contexts:
        context.close()


def say(page: Page, words: str) -> None:
    page.locator("#comment-content").fill(words)
    page.keyboard.press("Control+Enter")


def test_a_comment_is_sent_and_what_is_typed_above_it_stays(at_task, instance, task):
    paula, omar = at_task("paula"), at_task("omar")
    paula.locator("#id_description").fill("typed for an hour")

    say(paula, "  ")
    expect(paula.get_by_text("Enter a comment.")).to_be_visible()
    say(paula, "The red one.")

    expect(omar.locator("#comments")).to_contain_text("The red one.")
    expect(paula.locator("#comments")).to_contain_text("The red one.")
    expect(paula.locator("#comment-content")).to_have_value("")
    expect(paula.locator("#comment-content")).to_be_focused()
    expect(paula.locator("#id_description")).to_have_value("typed for an hour")
    paula.get_by_role("button", name="Save").click()
    expect(paula.get_by_text("Saved.")).to_be_visible()
    assert instance.one("SELECT description FROM projects_task WHERE id = %s", task) == "typed for an hour"


def test_a_comment_that_could_not_be_sent_is_still_there_and_says_so(at_task):
    paula = at_task("paula")
    paula.route("**/comment/", lambda route: route.abort())

    say(paula, "The red one.")

    expect(paula.get_by_text("What you wrote is still here.")).to_be_visible()
    expect(paula.locator("#comment-content")).to_have_value("The red one.")


def test_a_comment_outlives_the_session_that_it_was_written_in(at_task):
    paula = at_task("paula")
    paula.context.clear_cookies(name=re.compile("^opsroom_session(?!.*_user)"))

    say(paula, "The red one.")

    paula.get_by_label("Username").fill("paula")
    paula.get_by_label("Password").fill("12345")
    paula.get_by_role("button", name="Log in").click()
    expect(paula.get_by_role("heading", name="Unsent forms")).to_be_visible()
    expect(paula.locator("#content-main, main").get_by_text("The red one.").first).to_be_visible()


def test_what_is_being_written_outlives_a_session_that_ends_while_others_talk(at_task):
    paula, omar = at_task("paula"), at_task("omar")
    paula.locator("#comment-content").fill("The red one.")
    paula.context.clear_cookies(name=re.compile("^opsroom_session"))

    with paula.expect_response(lambda answer: answer.status == 401):
        say(omar, "Which one?")
    paula.wait_for_load_state("networkidle")

    expect(paula.locator("#comment-content")).to_have_value("The red one.")


def test_a_thread_that_was_opened_stays_open_whatever_others_say(at_task):
    paula, omar = at_task("paula"), at_task("omar")
    expect(paula.locator(".comment")).to_have_count(50)

    paula.get_by_text("show all").click()
    expect(paula.locator(".comment")).to_have_count(60)
    say(omar, "One more.")

    expect(paula.locator("#comments")).to_contain_text("One more.")
    expect(paula.locator(".comment")).to_have_count(61)
    assert paula.evaluate("window.notReloaded")


def test_one_puts_a_comment_in_other_words_while_others_talk_and_takes_it_back(at_task):
    paula, omar = at_task("paula"), at_task("omar")
    say(paula, "The red one.")
    paula.get_by_role("button", name="Edit your comment").click()
    field = paula.locator(".comment-edit textarea")
    expect(field).to_be_focused()
    field.fill("The blue one.")

    say(omar, "Which one?")
    expect(omar.locator("#comments")).to_contain_text("Which one?")
    paula.wait_for_timeout(1_000)
    expect(field).to_have_value("The blue one.")
    paula.keyboard.press("Control+Enter")

    for page in (paula, omar):
        expect(page.locator("#comments")).to_contain_text("The blue one.")
        expect(page.locator("#comments")).to_contain_text("Which one?")
    expect(omar.get_by_role("button", name="Delete your comment")).to_have_count(1)
    paula.get_by_role("button", name="Delete your comment").click()
    for page in (paula, omar):
        expect(page.locator("#comments")).not_to_contain_text("The blue one.")


def test_a_comment_is_opened_though_others_talk_before_its_form_has_come(at_task):
    paula, omar = at_task("paula"), at_task("omar")
    say(paula, "The red one.")
    asked: list[Route] = []
    paula.route(re.compile(r"/comments/\d+/(\?|$)"), lambda route: asked.append(route))
    paula.get_by_role("button", name="Edit your comment").click()

    with paula.expect_response(lambda answer: "/comments/" in answer.url and "Which one?" in answer.text()):
        say(omar, "Which one?")
    asked[0].continue_()

    expect(paula.locator(".comment-edit textarea")).to_be_focused()


def test_what_others_said_is_not_left_out_for_a_form_that_never_came(at_task):
    paula, omar = at_task("paula"), at_task("omar")
    say(paula, "The red one.")
    asked: list[Route] = []
    paula.route(re.compile(r"/comments/\d+/(\?|$)"), lambda route: asked.append(route))
    paula.get_by_role("button", name="Edit your comment").click()

    with paula.expect_response(lambda answer: "/comments/" in answer.url and "Which one?" in answer.text()):
        say(omar, "Which one?")
    asked[0].fulfill(status=404)

    expect(paula.locator("#comments")).to_contain_text("Which one?")


def test_a_task_that_has_moved_to_another_project_is_still_heard_of(at_task, instance, task):
    paula = at_task("paula")
    move = "from projects.models import *; from projects import services;"
    task_now = f"task = Task.objects.get(pk={task});"
    instance.run(f"{move}{task_now}services.update_task(task=task, project=services.create_project(name='Elsewhere'))")
    expect(paula.locator("#task-head")).to_contain_text("Elsewhere")

    instance.run(f"{move}{task_now}services.add_comment(task=task, content='Here, too.', author='ann')")

    expect(paula.locator("#comments")).to_contain_text("Here, too.")
    assert paula.evaluate("window.notReloaded")


def test_the_list_moves_by_itself_and_what_is_selected_stays_selected(at_task, instance, task):
    paula = at_task("paula")
    paula.goto(f"{instance.url}/admin/projects/task/")
    paula.evaluate("window.notReloaded = true")
    row = paula.locator("#result_list tbody").filter(has=paula.locator(f"input.action-select[value='{task}']"))
    row.locator("input.action-select").check()

    instance.run(
        "from projects.models import *; from projects import services;"
        f"task = Task.objects.get(pk={task});"
        "services.update_task(task=task, title='Draw two banners', status='completed');"
        "services.create_task(project=task.project, title='Hang them up')"
    )

    expect(row).to_contain_text("Draw two banners")
    expect(row).to_contain_text("completed", ignore_case=True)
    expect(row.locator("input.action-select")).to_be_checked()
    expect(paula.locator("#result_list tbody").first).to_contain_text("Hang them up")
    instance.run(f"from projects import services; services.delete_tasks(ids=[{task}])")
    expect(row).to_have_count(0)
    assert paula.evaluate("window.notReloaded")
