"""axe on every kind of page, light and dark, wide and on a phone; and keyboard operation of the same pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
WIDTHS = (1280, 400)
MAX_PAGES = 90
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
AXE = """([kind, values]) => axe.run(document, {runOnly: {type: kind, values}, resultTypes: ["violations"]}).then(
    ({violations}) => violations.map(({id, nodes}) => `${id}: ` + nodes.slice(0, 3).map(
        ({html, failureSummary}) => html.slice(0, 140) + " " + failureSummary.slice(0, 160)).join(" | ")))"""
LINKS = "() => Array.from(document.querySelectorAll('a[href]'), (link) => link.pathname + link.search)"
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
# Fragments and downloads, which only scripts request.
LEFT_ALONE = re.compile(r"/logout/|/export/|junit|/log/|jsi18n|/docs/|/schema/|/media/|\.ics$|/preview/")
DARK = "(dark) => document.documentElement.classList.toggle('dark', dark)"
EXCESS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What a mouse can activate and a keyboard cannot: the theme uses clickable spans.
UNREACHABLE = """() => Array.from(document.querySelectorAll("[x-on\\\\:click], [hx-get][hx-trigger*=click]")).filter(
    (it) => it.offsetParent && it.tabIndex < 0 && !it.closest("a[href], button, label")
        && !it.querySelector("a[href], button, input, select, [tabindex]")).map((it) => it.outerHTML.slice(0, 140))"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("axe")) / "home", demo=True) as instance:
        instance.start_web()
        yield instance


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def kind_of(address: str) -> str:
    """Return the path without numbers and names of rows, and the names of the parameters."""
    split = urlsplit(address)
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+|(?<=/skip/)[^/]+", "N", split.path)
    return f"{path}?{sorted({name for name, _ in parse_qsl(split.query, keep_blank_values=True)})}"


def kinds_of_pages(page: Page, url: str) -> Iterator[str]:
    """Open one page of each kind that is linked, with at most two sets of parameters per path."""
    waiting, seen, of_path = ["/admin/", "/admin/testrunner/testenvironment/18/reserve/"], set(), {}
    while waiting and len(seen) < MAX_PAGES:
        address = waiting.pop(0)
        kind, path = kind_of(address), kind_of(address.partition("?")[0])
        if kind in seen or of_path.get(path, 0) >= 2 or LEFT_ALONE.search(address):
            continue
        answer = page.goto(url + address)
        seen.add(kind)
        of_path[path] = of_path.get(path, 0) + 1
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        waiting += [link for link in page.evaluate(LINKS) if link.startswith("/admin/")]
        yield address


def violations(page: Page, address: str) -> list[str]:
    """Return axe's findings in both themes and widths. In the dark theme only contrast can differ."""
    page.add_style_tag(content=STILL)
    page.evaluate(AXE_SCRIPT)
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(DARK, scheme == "dark")
            rules = ["tag", RULES] if scheme == "light" else ["rule", ["color-contrast"]]
            found += [f"{address} {width} {scheme} {each}" for each in page.evaluate(AXE, rules)]
    if (excess := page.evaluate(EXCESS)) > 0:
        found.append(f"{address}: {excess} px too wide for a phone")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.evaluate(DARK, False)
    return found


def test_no_page_violates_a_rule_of_axe(page: Page, instance: Instance):
    page.goto(f"{instance.url}/admin/login/")
    found = violations(page, "/admin/login/")
    log_in(page, instance.url, "admin", "12345")

    pages = 0
    for address in kinds_of_pages(page, instance.url):
        pages += 1
        found += violations(page, address)
        found += [f"{address}: not reachable by keyboard: {each}" for each in page.evaluate(UNREACHABLE)]

    assert pages > 40
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "429", "500", "503"])
def test_no_error_page_violates_a_rule_of_axe(page: Page, code: str):
    from django.template.loader import render_to_string

    page.set_content(render_to_string(f"{code}.html"))

    assert violations(page, code) == []


def test_a_dialog_takes_the_focus_keeps_it_and_gives_it_back(page: Page, instance: Instance):
    log_in(page, instance.url, "admin", "12345")
    page.goto(f"{instance.url}/admin/testrunner/testenvironment/18/change/")
    button: Any = page.get_by_role("button", name="Reserve")

    button.focus()
    page.keyboard.press("Enter")
    page.locator("#dialog").wait_for()
    page.wait_for_function("() => document.getElementById('dialog').contains(document.activeElement)")
    inside = []
    for _ in range(12):
        page.keyboard.press("Tab")
        inside.append(page.evaluate("() => document.getElementById('dialog').contains(document.activeElement)"))
    page.keyboard.press("Escape")

    assert all(inside)
    page.wait_for_function("() => document.activeElement.textContent.includes('Reserve')")


def test_focus_is_visible_on_what_the_keyboard_reaches(page: Page, instance: Instance):
    log_in(page, instance.url, "admin", "12345")
    page.goto(f"{instance.url}/admin/projects/task/")
    hidden = []

    for _ in range(40):
        page.keyboard.press("Tab")
        look = page.evaluate(
            """() => { const it = document.activeElement, style = getComputedStyle(it);
            return [it.outerHTML.slice(0, 120), style.outlineStyle !== "none" || style.boxShadow !== "none"]; }"""
        )
        hidden += [] if look[1] else [look[0]]

    assert hidden == []
