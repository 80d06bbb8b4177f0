"""Every page of the navigation in a real browser, on a phone: it has a title, fits the width and reports no error."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
LINKS = """(place) => Array.from(document.querySelectorAll(place + ' a[href^="/admin/"]'), (link) => link.pathname)"""
# How far the page scrolls horizontally, in pixels.
EXCESS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
MORE = ["/admin/my-access/", "/admin/chats/broadcast/add/", "/admin/testrunner/testenvironment/18/reserve/"]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("pages")) / "home", demo=True) as instance:
        instance.start_web()
        yield instance


@pytest.fixture
def phone(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 400, "height": 860})
    page = context.new_page()
    log_in(page, instance.url, "admin", "12345")
    yield page
    context.close()


def test_every_page_has_a_title_and_fits_a_phone(phone: Page, instance: Instance):
    problems: list[str] = []
    phone.on("console", lambda message: message.type == "error" and problems.append(f"{phone.url}: {message.text}"))
    phone.on("pageerror", lambda error: problems.append(f"{phone.url}: {error}"))
    waiting, seen = [*_links(phone, "nav, aside"), *MORE], set()

    while waiting:
        path = waiting.pop()
        phone.goto(instance.url + path)
        seen.add(path)
        title = phone.title().strip()
        if not title or title.startswith(("|", "Select ")):
            problems.append(f"{path}: the title is {title!r}")
        if (excess := phone.evaluate(EXCESS)) > 0:
            problems.append(f"{path}: {excess} px too wide")
        details = [link for link in _links(phone, "main, #content") if link.endswith("/change/")]
        waiting += [link for link in details[:1] if path.count("/") < 5 and link not in seen]

    assert len(seen) > 25
    assert not problems


def test_my_access_uses_the_whole_width_of_a_phone(phone: Page, instance: Instance):
    phone.goto(f"{instance.url}/admin/my-access/")

    words, card = phone.locator(".access-words").bounding_box(), phone.locator(".access .card").first.bounding_box()
    assert words and card and words["width"] == card["width"]


def test_the_fields_of_a_reservation_are_visible(phone: Page, instance: Instance):
    phone.goto(f"{instance.url}/admin/testrunner/testenvironment/18/reserve/")

    for name in ("minutes", "note"):
        border = phone.locator(f"[name={name}]").evaluate("(field) => getComputedStyle(field).borderTopWidth")
        assert border != "0px"


def _links(page: Page, place: str) -> list[str]:
    found = [path for part in place.split(", ") for path in page.evaluate(LINKS, part)]
    return [path for path in dict.fromkeys(found) if "logout" not in path]
