"""Mailing a report again: the dialog, the keyboard, and a double click that sends one mail."""

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
REPORT = """
from django.contrib.auth.models import Group, User
from projects.reports import generate_report
person = User.objects.create_user("paula", password="12345", is_staff=True)
person.groups.add(Group.objects.get(name="planning"))
generate_report()
"""
WISHES = "SELECT count(*) FROM django_admin_log"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.run(REPORT)
        instance.start_web()
        yield instance


@pytest.fixture
def page(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    log_in(page, instance.url, "paula", "12345")
    yield page
    context.close()


def test_a_double_click_is_one_wish_and_a_second_one_is_refused_in_words(page: Page, instance: Instance):
    page.goto(f"{instance.url}/admin/projects/report/")
    again = page.get_by_role("button", name="Mail again")
    again.click()
    page.get_by_role("dialog").get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert instance.one(WISHES) == 0

    again.focus()
    page.keyboard.press("Enter")
    sure = page.get_by_role("button", name="Mail report again")
    expect(sure).to_be_focused()
    sure.dblclick()

    expect(page.get_by_text("is being mailed again.")).to_be_visible()
    expect(page.get_by_text("paula mailed it again")).to_be_visible()
    assert instance.one(WISHES) == 1
    page.get_by_role("button", name="Mail again").click()
    page.get_by_role("button", name="Mail report again").click()
    expect(page.get_by_text("is being mailed already")).to_be_visible()
    assert instance.one(WISHES) == 1
