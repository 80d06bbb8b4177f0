"""opsroom.js in a real browser, on pages of another origin than the ingest's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from config.tests.browser import find_chromium
from config.tests.instance import Instance, running_instance
from events.tests.recording_server import Ingest, Site

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
OLD_BROWSER = "delete Crypto.prototype.randomUUID; delete AbortSignal.timeout;"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } });"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor: a profile with a storage of its own."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    ingest = Ingest()
    yield ingest
    ingest.close()


@pytest.fixture
def site(ingest: Ingest) -> Iterator[Site]:
    site = Site()
    site.page = f'<title>Shop</title><script src="{ingest.url}/events/opsroom.js" data-key="wk" async></script>'
    yield site
    site.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script threw into the page: {error}"))
    page.goto(f"{site.url}/shop?secret=1#top")
    page.wait_for_function("!!window.opsroom")
    return page


def wait_for(condition) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "not within 20 s"
        time.sleep(0.05)


def names(ingest: Ingest) -> list[str]:
    return [event["name"] for event in ingest.events.values()]


def test_a_page_view_arrives_from_another_origin_without_a_preflight(page: Page, ingest: Ingest, site: Site):
    wait_for(lambda: ingest.events)

    [event] = ingest.events.values()
    assert event["category"] == "page interaction"
    assert event["name"] == "pageview"
    assert event["data"] == {"host": site.url.removeprefix("http://"), "path": "/shop"}
    assert uuid.UUID(event["event_id"]) and uuid.UUID(event["session_id"])
    [request] = ingest.requests  # an OPTIONS would have been refused
    assert request["key"] == ["wk"]
    assert request["origin"] == site.url
    assert request["type"].startswith("text/plain")


def test_moving_inside_the_page_is_a_page_view_and_coming_back_too(page: Page, ingest: Ingest):
    page.evaluate("history.pushState({}, '', '/cart')")
    page.evaluate("history.pushState({}, '', '/cart?step=2')")
    page.evaluate("history.back(); history.back()")
    page.wait_for_url("**/shop?secret=1#top")
    page.evaluate("location.hash = 'bottom'")
    page.evaluate("opsroom.flush()")

    wait_for(lambda: len(ingest.events) == 3)
    assert [event["data"]["path"] for event in ingest.events.values()] == ["/shop", "/cart", "/shop"]


def test_what_happens_in_the_last_moment_arrives_by_beacon(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)

    page.evaluate("addEventListener('pagehide', () => opsroom.track('form interaction', 'leave', {}), true)")
    page.evaluate("opsroom.track('form interaction', 'submit', {form: {first_name: 'Ada'}})")
    page.goto("about:blank")

    wait_for(lambda: "submit" in names(ingest))


def test_what_a_closing_tab_may_not_send_is_sent_by_the_next_page(
    context: BrowserContext, page: Page, ingest: Ingest, site: Site
):
    page.evaluate("for (let n = 0; n < 250; n += 1) opsroom.track('c', 'n', {n, text: 'x'.repeat(250)})")
    page.close(run_before_unload=True)
    wait_for(lambda: len(ingest.events) > 1)  # as far as 64 KiB go

    context.new_page().goto(site.url)

    wait_for(lambda: names(ingest).count("n") == 250)
    assert max(request["size"] for request in ingest.requests) < 64 * 1024


def test_events_that_no_server_took_are_sent_by_the_next_page_with_the_same_ids(
    context: BrowserContext, page: Page, ingest: Ingest, site: Site
):
    wait_for(lambda: ingest.events)
    ingest.status = 503
    page.evaluate("opsroom.track('c', 'while away', {})")
    wait_for(lambda: ingest.requests[-1]["status"] == 503)
    page.close(run_before_unload=True)
    ingest.status = 202

    context.new_page().goto(site.url)

    wait_for(lambda: "while away" in names(ingest) and names(ingest).count("pageview") == 2)
    assert len({event["session_id"] for event in ingest.events.values()}) == 1


def test_two_applications_on_one_origin_send_only_their_own(
    context: BrowserContext, page: Page, ingest: Ingest, site: Site
):
    wait_for(lambda: ingest.events)
    ingest.status = 503
    page.evaluate("opsroom.track('c', 'of the shop', {})")
    wait_for(lambda: ingest.requests[-1]["status"] == 503)
    page.close(run_before_unload=True)
    ingest.status = 202

    shop, blog = site.page, site.page.replace('"wk"', '"wk_blog"')
    site.page = blog
    other = context.new_page()
    other.goto(f"{site.url}/blog")
    wait_for(lambda: [event["key"] for event in ingest.events.values()] == [["wk"], ["wk_blog"]])
    other.evaluate("dispatchEvent(new Event('online')); opsroom.track('c', 'of the blog', {})")
    wait_for(lambda: "of the blog" in names(ingest))
    assert "of the shop" not in names(ingest)
    site.page = shop
    context.new_page().goto(site.url)

    wait_for(lambda: "of the shop" in names(ingest))
    assert {event["name"]: event["key"] for event in ingest.events.values() if event["category"] == "c"} == {
        "of the shop": ["wk"],
        "of the blog": ["wk_blog"],
    }


def test_what_nobody_has_come_back_for_in_a_week_goes(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    page.evaluate("""() => {
        localStorage["opsroom.batch.gone." + (Date.now() - 8 * 24 * 3600 * 1000) + ".a"] = "[]";
        localStorage["opsroom.batch.gone." + Date.now() + ".b"] = "[]";
        dispatchEvent(new Event("online"));
    }""")

    kept = page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('opsroom.batch.gone'))")
    assert [name[-1] for name in kept] == ["b"]


def test_a_key_that_is_named_later_takes_over_from_then_on(page: Page, ingest: Ingest):
    page.evaluate(f"""() => {{
        opsroom.track("c", "before", {{}});
        opsroom.init({{ url: "{ingest.url}", key: "wk_other" }});
        opsroom.track("c", "after", {{}});
    }}""")

    wait_for(lambda: "after" in names(ingest) and "before" in names(ingest))
    keys = {event["name"]: event["key"] for event in ingest.events.values()}
    assert (keys["before"], keys["after"]) == (["wk"], ["wk_other"])


def test_a_developer_is_told_what_was_rejected(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    ingest.answer = b"""{"rejected": 1, "results": [
        {"status": "accepted"}, {"status": "rejected", "errors": [{"pointer": "/data/host"}]}]}"""

    with page.expect_console_message(lambda message: message.type == "warning") as told:
        page.evaluate("opsroom.track('c', 'n', {}); opsroom.flush()")

    assert told.value.args[1].json_value() == [{"status": "rejected", "errors": [{"pointer": "/data/host"}]}]


def test_page_views_are_switched_off_where_the_page_says_so(context: BrowserContext, ingest: Ingest, site: Site):
    site.page = site.page.replace(" async", ' data-pageviews="off"') + "<script>opsroom.track('c', 'n', {});</script>"

    context.new_page().goto(site.url)

    wait_for(lambda: names(ingest) == ["n"])


def test_a_page_sends_again_by_itself_when_the_server_is_back(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    ingest.status = 503
    page.evaluate("opsroom.track('c', 'while away', {})")
    wait_for(lambda: [request["status"] for request in ingest.requests].count(503) >= 2)

    ingest.status = 202

    wait_for(lambda: "while away" in names(ingest))
    page.wait_for_function("Object.keys(localStorage).filter((name) => name.startsWith('opsroom.batch')).length === 0")


def test_a_batch_that_is_too_much_for_one_request_is_sent_in_halves(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    ingest.most_events = 1

    page.evaluate("['one', 'two', 'three'].forEach((name) => opsroom.track('c', name, {}))")

    wait_for(lambda: {"one", "two", "three"} <= set(names(ingest)))
    assert 413 in [request["status"] for request in ingest.requests]
    page.wait_for_function("Object.keys(localStorage).filter((name) => name.startsWith('opsroom.batch')).length === 0")


def test_a_browser_that_was_offline_loses_nothing(context: BrowserContext, page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    context.set_offline(True)
    page.evaluate("opsroom.track('c', 'in the tunnel', {}); opsroom.flush()")
    page.wait_for_function("Object.keys(localStorage).some((name) => name.startsWith('opsroom.batch'))")

    context.set_offline(False)

    wait_for(lambda: "in the tunnel" in names(ingest))


KEPT = """Object.entries(localStorage).filter(([name]) => name.startsWith("opsroom.batch"))
    .reduce((sum, [name, body]) => sum + 2 * (name.length + body.length), 0)"""


def test_what_is_kept_is_bounded_in_bytes_and_what_is_dropped_is_counted(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    ingest.status = 503

    page.evaluate("for (let n = 0; n < 6000; n += 1) opsroom.track('c', 'n', { n, text: 'é'.repeat(100) })")

    assert page.evaluate(KEPT) <= 1024 * 1024
    kept = page.evaluate("Object.values(localStorage).join().split('event_id').length - 1")
    assert page.evaluate("opsroom.dropped()") + kept == 6_000
    newest = page.evaluate("Object.values(localStorage).some((body) => body.includes('\"n\":5999,'))")
    assert newest, "the oldest are dropped, not the newest"


def test_what_all_tabs_keep_together_is_bounded(context: BrowserContext, page: Page, ingest: Ingest, site: Site):
    wait_for(lambda: ingest.events)
    ingest.status = 503
    tabs = [page, context.new_page(), context.new_page()]
    for tab in tabs[1:]:
        tab.goto(f"{site.url}/other")
        tab.wait_for_function("!!window.opsroom")

    for tab in tabs:
        tab.evaluate("for (let n = 0; n < 3000; n += 1) opsroom.track('c', 'n', { n, text: 'é'.repeat(100) })")

    wait_for(lambda: page.evaluate(KEPT) <= 1024 * 1024)


def test_an_event_that_is_too_large_is_dropped_alone(page: Page, ingest: Ingest):
    page.evaluate("opsroom.track('c', 'large', { text: 'x'.repeat(500000) }); opsroom.track('c', 'small', {})")

    wait_for(lambda: "small" in names(ingest))
    assert "large" not in names(ingest)
    assert page.evaluate("opsroom.dropped()") == 1


def test_tabs_that_find_the_same_batch_send_it_once(context: BrowserContext, page: Page, ingest: Ingest, site: Site):
    wait_for(lambda: ingest.events)
    ingest.status = 503
    page.evaluate("for (let n = 0; n < 350; n += 1) opsroom.track('c', 'n', { n }); opsroom.flush()")
    wait_for(lambda: ingest.requests[-1]["status"] == 503)
    page.close(run_before_unload=True)
    wait_for(lambda: sum(request["events"] for request in ingest.requests) >= 351)  # the last ones by beacon
    ingest.requests.clear()
    ingest.status = 202

    tabs = [context.new_page() for _ in range(4)]
    for tab in tabs:
        tab.goto(site.url, wait_until="commit")

    wait_for(lambda: names(ingest).count("n") == 350 and names(ingest).count("pageview") == 5)
    for tab in tabs:
        tab.wait_for_function("Object.keys(localStorage).every((name) => !name.startsWith('opsroom.batch'))")
    assert sum(request["events"] for request in ingest.requests) == 350 + 4


def test_a_pause_that_the_server_asks_for_is_kept_by_all_tabs_and_by_the_next_page(
    context: BrowserContext, page: Page, ingest: Ingest, site: Site
):
    wait_for(lambda: ingest.events)
    ingest.status, ingest.headers = 429, {"Retry-After": "3"}
    page.evaluate("opsroom.track('c', 'n', {}); opsroom.flush()")
    wait_for(lambda: ingest.requests[-1]["status"] == 429)
    ingest.status, ingest.headers = 202, {}
    asked = len(ingest.requests)

    page.evaluate("dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange'))")
    other = context.new_page()
    other.goto(f"{site.url}/other")
    other.evaluate("dispatchEvent(new Event('online'))")
    other.wait_for_function("Object.keys(localStorage).filter((name) => name.startsWith('opsroom.batch')).length === 2")

    assert len(ingest.requests) == asked
    wait_for(lambda: sorted(names(ingest)) == ["n", "pageview", "pageview"])


def test_a_pause_without_reason_is_bounded(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    ingest.status, ingest.headers = 503, {"Retry-After": "999999999"}
    page.evaluate("opsroom.track('c', 'n', {}); opsroom.flush()")
    wait_for(lambda: ingest.requests[-1]["status"] == 503)

    page.wait_for_function("Object.keys(localStorage).some((name) => name.startsWith('opsroom.pause'))")
    pause = page.evaluate(
        "Number(Object.entries(localStorage).find(([name]) => name.includes('pause'))[1]) - Date.now()"
    )
    assert 0 < pause <= 600_000


def test_half_an_hour_without_an_event_ends_the_session(page: Page, ingest: Ingest):
    wait_for(lambda: ingest.events)
    page.evaluate("""() => {
        const session = JSON.parse(localStorage["opsroom.session"]);
        localStorage["opsroom.session"] = JSON.stringify({ ...session, seen: session.seen - 30 * 60 * 1000 - 1 });
        opsroom.track("c", "later", {});
        opsroom.track("c", "and then", {});
    }""")

    wait_for(lambda: len(ingest.events) == 3)
    first, second, third = (event["session_id"] for event in ingest.events.values())
    assert first != second == third


@pytest.mark.parametrize("script", [OLD_BROWSER, NO_STORAGE], ids=["old browser", "no storage"])
def test_a_poor_browser_sends_too(context: BrowserContext, ingest: Ingest, site: Site, script: str):
    page = context.new_page()
    page.add_init_script(script)
    page.goto(site.url)

    wait_for(lambda: ingest.events)
    [event] = ingest.events.values()
    assert uuid.UUID(event["event_id"]).version == uuid.UUID(event["session_id"]).version == 4


def test_calls_before_the_script_and_wrong_ones_harm_nobody(context: BrowserContext, ingest: Ingest, site: Site):
    site.page = f"""<script>
        window.opsroom = [["track", "c", "early", {{}}], ["nonsense"], null,
                          ["init", {{ url: "{ingest.url}", key: "wk", pageviews: false }}]];
        </script><script src="{ingest.url}/events/opsroom.js"></script>
        <script>
        const circle = {{}}; circle.circle = circle;
        opsroom.track("c", "circle", circle); opsroom.track("c", "big", 10n); opsroom.init(); opsroom.push();
        opsroom.push(["track", "c", "late", {{}}]); document.title = "alive";
        </script>"""
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script threw into the page: {error}"))

    page.goto(site.url)

    wait_for(lambda: names(ingest) == ["early", "late"])
    assert page.title() == "alive"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.run("from events.factories import WriteKeyFactory; WriteKeyFactory(secret='wk_shop')")
        instance.start_web()
        yield instance


@pytest.mark.timeout(180)
def test_a_real_opsroom_stores_page_view_and_beacon_of_another_origin_once(
    context: BrowserContext, instance: Instance, site: Site
):
    site.page = f'<script src="{instance.url}/events/opsroom.js" data-key="wk_shop" async></script>'
    page = context.new_page()
    page.goto(f"{site.url}/shop")
    stored = "SELECT name, data ->> 'path' FROM events_event ORDER BY timestamp"
    wait_for(lambda: instance.sql(stored) == [("pageview", "/shop")])

    page.evaluate("opsroom.track('form interaction', 'submit', {path: '/shop'})")
    page.goto("about:blank")

    wait_for(lambda: instance.sql(stored) == [("pageview", "/shop"), ("submit", "/shop")])
    page.goto(f"{site.url}/cart")  # which sends once more what went by beacon
    wait_for(lambda: len(instance.sql(stored)) == 3)
    page.wait_for_function("Object.keys(localStorage).filter((name) => name.startsWith('opsroom.batch')).length === 0")
    assert instance.sql(stored) == [("pageview", "/shop"), ("submit", "/shop"), ("pageview", "/cart")]
