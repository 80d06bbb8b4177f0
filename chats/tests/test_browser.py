"""Sending banners and broadcasts in a real browser on a real instance: web, worker and beat."""

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


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("browser")) / "home", demo=True) as instance:
        instance.start_web()
        instance.start_worker()
        instance.start_beat()
        yield instance


@pytest.fixture
def page(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    elsewhere: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if instance.url not in request.url else None)
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    context.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
    assert broken == []


def button(page: Page) -> Locator:
    return page.locator("a, button").filter(has_text="Send banner")


def press(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/chats/chat/")
    button(page).first.click()
    page.get_by_role("button", name="Send to all chats").click()


def send_banner(page: Page, instance: Instance) -> None:
    press(page, instance)
    page.wait_for_url(re.compile(r"/admin/chats/broadcast/\d+/change/"))


def test_a_marketer_sends_a_banner_and_sees_it_arrive(page: Page, instance: Instance):
    log_in(page, instance.url, "marketer", "12345")

    send_banner(page, instance)

    # Without reloading, the page that was opened before sending counts up to the whole audience.
    expect(page.get_by_text("1,000 of 1,000")).to_be_visible(timeout=45_000)
    page.goto(f"{instance.url}/admin/chats/chat/")
    page.locator("table tbody a").first.click()
    picture = page.locator("img[src^='/media/banners/']").last
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


def test_a_viewer_sees_everything_and_is_offered_no_button(page: Page, instance: Instance):
    log_in(page, instance.url, "viewer", "12345")

    page.goto(f"{instance.url}/admin/chats/chat/")

    expect(page.locator("table tbody tr").first).to_be_visible()
    expect(button(page)).to_have_count(0)


def test_it_ends_in_a_clear_error_when_no_photo_is_left(page: Page, instance: Instance):
    log_in(page, instance.url, "marketer", "12345")
    photos = 24
    for _ in range(photos - instance.one("SELECT count(*) FROM chats_broadcast")):
        send_banner(page, instance)

    press(page, instance)

    expect(page.get_by_text("No banner left to send")).to_be_visible()
    assert instance.one("SELECT count(DISTINCT banner_id) FROM chats_broadcast") == photos
