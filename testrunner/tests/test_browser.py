"""A tester's main tasks in a real browser, on a complete instance: upload, start, watch, and wait in the queue."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
SLOW = """
import time


def test_slow():
    for step in range(8):
        print(f"\\x1b[32mstep {step}\\x1b[0m <b>&amp;</b>", flush=True)
        time.sleep(1)


def test_fast():
    assert 1 == 2
"""
FAILS_AND_GOES_ON = """
import time


def test_first():
    assert [1, 2] == [1, 3], "unlike"


def test_then():
    for step in range(8):
        print("x" * 200_000 if step == 3 else f"step {step}", flush=True)
        time.sleep(1)
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("browser") / "home", demo=True) as instance:
        instance.start_web()
        instance.start_worker()
        instance.start_runner()
        instance.start_beat()
        yield instance


@pytest.fixture
def page(browser: Browser, instance: Instance) -> Iterator[Page]:
    expect.set_options(timeout=30_000)
    context = browser.new_context(viewport={"width": 1300, "height": 860})
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.set_default_timeout(30_000)
    log_in(page, instance.url, "tester", "12345")
    yield page
    context.close()
    assert broken == []


def upload(page: Page, tmp_path: Path, name: str, text: str, directory: str = "smoke") -> None:
    (tmp_path / name).write_text(text)
    page.fill("[data-upload-directory]", directory)
    page.set_input_files("[data-upload-file]", tmp_path / name)


def start(page: Page, instance: Instance, environment: int, leaf: str) -> None:
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    page.locator(f"[data-leaf='{leaf}'] input").check()
    page.select_option("#id_environment", str(environment))
    page.get_by_role("button", name="Start run and watch").click()
    page.wait_for_url(re.compile(r"/testrun/\d+/change/"))


def test_a_test_is_uploaded_in_place_started_and_watched_to_its_end(page: Page, instance: Instance, tmp_path: Path):
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    upload(page, tmp_path, "test_slow_one.py", SLOW)
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as uploads/smoke/test_slow_one.py")
    upload(page, tmp_path, "broken.py", "def test(:\n")
    expect(page.locator("[data-upload-said]")).to_contain_text("does not compile")
    expect(page.locator("[data-chosen]")).to_have_text("1 file chosen")

    page.locator("[data-leaf='samples/test_success.py'] input").check()
    page.select_option("#id_environment", "17")
    page.get_by_role("button", name="Start run and watch").click()

    expect(page.locator("#run-live h2")).to_contain_text("Running")
    expect(page.locator("[data-log-rows]")).to_contain_text("step 1 <b>&amp;</b>")  # as text, while it runs
    assert page.locator("[data-log-rows] .ansi-fg-2", has_text="step 1").count() == 1
    expect(page.locator("#run-live h2")).to_contain_text("Failed", timeout=60_000)
    expect(page.locator("#run-live")).to_contain_text("test_slow_one.py::test_fast")
    expect(page.locator("#run-live")).to_contain_text("samples/test_success.py::test_addition")
    page.locator("[data-log-failure]").click()
    page.fill("[data-log-query]", "assert 1 == 2")
    expect(page.locator("[data-log-found]")).to_contain_text("1 of ")
    expect(page.locator("[data-log-rows] mark").first).to_be_visible()


def test_a_traceback_that_was_unfolded_stays_so_while_the_run_goes_on(page: Page, instance: Instance, tmp_path: Path):
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    upload(page, tmp_path, "test_goes_on.py", FAILS_AND_GOES_ON, directory="unfolded")
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as")
    start(page, instance, 20, "uploads/unfolded/test_goes_on.py")
    page.locator(".testrunner-trace > summary", has_text="Traceback").click()
    expect(page.locator(".testrunner-trace")).to_contain_text("test_goes_on.py:6: AssertionError")

    expect(page.locator("#run-live h2")).to_contain_text("Failed", timeout=60_000)
    expect(page.locator("#run-live")).to_contain_text("test_then")

    expect(page.locator(".testrunner-trace pre")).to_be_visible()
    expect(page.locator(".testrunner-trace pre")).to_contain_text("unlike")
    page.locator(".testrunner-result__time").first.click()
    expect(page.locator(".testrunner-trace pre")).to_be_hidden()


PROGRESS = """
from helpers import WORDS

def test_bar():
    for share in range(0, 101, 10):
        print(f"\\r\\x1b[32m{WORDS} {share} %", end="", flush=True)
    print("\\x1b[0m")

def test_many(subtests):
    with subtests.test("number", n=1):
        assert "\\x1b[31mred" == "blue"
"""


def test_a_progress_bar_shows_its_last_state_and_no_terminal_code_is_on_the_page(
    page: Page, instance: Instance, tmp_path: Path
):
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    upload(page, tmp_path, "helpers.py", "WORDS = 'loading'\n", directory="bars")
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as")
    upload(page, tmp_path, "test_bar.py", PROGRESS, directory="bars")
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as uploads/bars/test_bar.py")
    start(page, instance, 21, "uploads/bars/test_bar.py")

    expect(page.locator("#run-live h2")).to_contain_text("Failed", timeout=60_000)
    row = page.locator(".log-row code", has_text="loading")
    expect(row).to_have_text("loading 100 %")
    expect(row.locator(".ansi-fg-2")).to_have_text("loading 100 %")
    expect(page.locator(".testrunner-facts")).to_contain_text("uploads/bars/helpers.py")
    page.locator(".testrunner-trace > summary", has_text="Traceback").click()
    expect(page.locator(".testrunner-trace pre")).to_contain_text("Subtest [number] (n=1)")
    assert "\x1b" not in page.locator("#run-live").inner_text()


def test_who_comes_second_is_told_the_place_and_starts_by_itself(page: Page, instance: Instance, tmp_path: Path):
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    upload(page, tmp_path, "test_slow_two.py", SLOW, directory="waiting")
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as")
    start(page, instance, 18, "uploads/waiting/test_slow_two.py")
    expect(page.locator("#run-live h2")).to_contain_text("Running")

    start(page, instance, 18, "samples/test_success.py")

    expect(page.locator("#run-live")).to_contain_text(re.compile("Position 1, expected start"))
    expect(page.locator("#run-live h2")).to_contain_text("Success", timeout=60_000)


def test_a_waiting_run_is_cancelled_and_the_board_shows_who_is_in(page: Page, instance: Instance, tmp_path: Path):
    page.goto(f"{instance.url}/admin/testrunner/testrun/add/")
    upload(page, tmp_path, "test_slow_three.py", SLOW, directory="board")
    expect(page.locator("[data-upload-said]")).to_contain_text("uploaded as")
    board = page.context.new_page()
    board.goto(f"{instance.url}/admin/testrunner/testenvironment/")
    expect(board.locator("#tile-19")).to_contain_text("Free")

    start(page, instance, 19, "uploads/board/test_slow_three.py")

    expect(board.locator("#tile-19")).to_contain_text("Busy")  # the page was not reloaded
    start(page, instance, 19, "samples/test_success.py")
    page.locator("#run-cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#run-live h2")).to_contain_text("Cancelled")
    expect(board.locator("#tile-19")).to_contain_text("Free", timeout=60_000)
