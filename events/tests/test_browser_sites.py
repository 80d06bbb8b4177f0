"""opsroom.js on sites that are not like the one in the documentation, in a real browser against a real Opsroom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from config.tests.browser import find_chromium
from config.tests.instance import Instance, running_instance
from events.tests.recording_server import Site

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
KEYS = """
from events.factories import WriteKeyFactory
for number in range(60): WriteKeyFactory(secret=f"wk_{number}", application__name=f"wk_{number}")
"""
STUB = """<script>
  window.opsroom = window.opsroom || [];
  opsroom.track = opsroom.track || function () { opsroom.push(["track"].concat([].slice.call(arguments))); };
</script>"""
TRACING = """const send = window.fetch;
window.fetch = (address, options = {}) => send(address, { ...options, headers: {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", baggage: "a=b", "sentry-trace": "1",
  "x-own": "1" } });"""
ODD_SITES = {
    "tracing adds headers": TRACING,
    "tracing adds credentials": """const send = fetch;
        window.fetch = (to, options) => send(to, { ...options, credentials: "include" });""",
    "fetch answers nothing": "window.fetch = () => undefined;",
    "fetch throws": "window.fetch = () => { throw new Error('mine'); };",
    "no fetch": "delete window.fetch;",
    "toJSON of an old library": """Array.prototype.toJSON = function () { return "[" + this.join() + "]"; };
        String.prototype.toJSON = Object.prototype.toJSON = function () { return "mine"; };""",
    "JSON is replaced": "window.JSON = { stringify: () => '', parse: () => { throw new Error('mine'); } };",
    "Promise is replaced": "window.Promise = function () { throw new Error('mine'); };",
    "Array.from is replaced": "Array.from = () => []; Array.prototype.map = () => [];",
    "localStorage is full": """for (let size = 1e6; size >= 1; size /= 2)
        try { for (;;) localStorage["x" + size + Math.random()] = "x".repeat(size); } catch {}""",
    "localStorage is blocked": """Object.defineProperty(window, "localStorage",
        { get() { throw new Error("blocked"); } });""",
    "no locks": "Object.defineProperty(navigator, 'locks', { value: undefined });",
    "no beacons": "delete Navigator.prototype.sendBeacon;",
}


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("instance") / "home") as instance:
        instance.run(KEYS)
        instance.start_web()
        yield instance


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def shop(instance: Instance) -> Shop:
    return Shop(instance)


@pytest.fixture
def site(shop: Shop) -> Iterator[Site]:
    """Another origin than the ingest's, whose every page has the shop's script."""
    site = Site()
    site.page = f"<title>Shop</title>{shop.tag}"
    yield site
    site.close()


class Shop:
    """An application of its own, and what is stored of it."""

    numbers = count()

    def __init__(self, instance: Instance) -> None:
        self.instance, self.key = instance, f"wk_{next(self.numbers)}"

    @property
    def tag(self) -> str:
        return f'<script src="{self.instance.url}/events/opsroom.js" data-key="{self.key}" async></script>'

    def events(self, columns: str = "name, data ->> 'path'") -> list[tuple]:
        query = "WHERE application_id = (SELECT id FROM events_application WHERE name = %s) ORDER BY timestamp, id"
        return self.instance.sql(f"SELECT {columns} FROM events_event {query}", self.key)

    @property
    def names(self) -> list[str]:
        return [name for (name,) in self.events("name")]


def opened(context: BrowserContext, site: Site, path: str = "/shop", before: str = "") -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script threw into the page: {error}"))
    if before:
        page.add_init_script(f"(() => {{ {before} }})()")
    page.goto(f"{site.url}{path}")
    return page


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "not within 30 s"
        time.sleep(0.05)


@pytest.mark.parametrize("before", ODD_SITES.values(), ids=ODD_SITES)
def test_an_odd_site_has_its_page_view_and_its_events_stored_once(context, shop, site, before):
    data = "{ path: '/list', list: [1, 'two', [3]], at: new Date(0), none: undefined }"
    site.page = f"<title>Shop</title>{STUB}{shop.tag}<script>opsroom.track('c', 'n', {data});</script>"

    opened(context, site, before=before)

    wait_for(lambda: sorted(shop.names) == ["n", "pageview"])
    [(_, data)] = [row for row in shop.events("name, data") if row[0] == "n"]
    assert data == {"path": "/list", "list": [1, "two", [3]], "at": "1970-01-01T00:00:00.000Z"}


def test_a_sites_own_beacon_of_json_is_stored(context, shop, site, instance):
    site.page = "<title>Shop</title>"
    page = opened(context, site)

    page.evaluate(
        """([address]) => navigator.sendBeacon(address, new Blob([JSON.stringify({ session_id: "s", category: "c",
            name: "beacon", data: {}, timestamp: new Date().toISOString() })], { type: "application/json" }))""",
        [f"{instance.url}/events/?write_key={shop.key}"],
    )

    wait_for(lambda: shop.names == ["beacon"])


def flushed(page: Page, shop: Shop) -> list[str]:
    """Everything that the page has counted, once an event that it tracks last is stored."""
    page.wait_for_function("!!(window.opsroom && opsroom.flush)")
    page.evaluate("opsroom.track('c', 'last', {}); opsroom.flush()")
    wait_for(lambda: "last" in shop.names)
    return shop.names[:-1]


def test_a_script_that_is_loaded_twice_counts_once(context, shop, site):
    site.page += shop.tag + shop.tag.replace("opsroom.js", "opsroom.js?version=2")
    page = opened(context, site)

    page.evaluate("history.pushState({}, '', '/cart')")

    assert flushed(page, shop) == ["pageview", "pageview"]
    assert [path for _, path in shop.events()][:2] == ["/shop", "/cart"]


def test_an_older_copy_keeps_the_page_for_itself(context, shop, site):
    site.page = "<script>window.opsroom = { init() {}, track() {}, flush() {}, push() {} };</script>" + shop.tag
    page = opened(context, site)
    page.wait_for_load_state("load")

    assert page.evaluate("opsroom.addresses") is None


def test_two_applications_on_a_page_count_it_once_each(context, shop, site, instance):
    other = Shop(instance)
    site.page += other.tag

    opened(context, site)

    wait_for(lambda: (shop.names, other.names) == (["pageview"], ["pageview"]))


TURBO_VISIT = """(path) => {
    history.pushState({ turbo: {} }, "", path);
    const body = document.createElement("body");
    body.innerHTML = document.body.innerHTML;
    for (const old of body.querySelectorAll("script")) {  // as Turbo activates the scripts of a new body
        const script = document.createElement("script");
        for (const { name, value } of old.attributes) script.setAttribute(name, value);
        script.textContent = old.textContent;
        old.replaceWith(script);
    }
    document.body.replaceWith(body);
    document.dispatchEvent(new CustomEvent("turbo:load", { bubbles: true }));
}"""


def test_a_turbo_visit_counts_once_though_the_script_runs_again(context, shop, site):
    site.page = f"<title>Shop</title><body>{STUB}{shop.tag}</body>"
    page = opened(context, site)
    page.wait_for_function("!!(window.opsroom && opsroom.flush)")

    for path in ("/cart", "/pay"):
        page.evaluate(TURBO_VISIT, path)
    page.evaluate("history.replaceState({}, '', '/paid'); dispatchEvent(new CustomEvent('turbo:load'))")
    page.wait_for_load_state("networkidle")

    assert flushed(page, shop) == ["pageview"] * 4
    assert [path for _, path in shop.events()][:4] == ["/shop", "/cart", "/pay", "/paid"]


def test_a_prerendered_page_counts_when_it_is_shown(context, shop, site):
    prerendering = """Object.defineProperty(document, "prerendering", { configurable: true, get: () => !window.shown });
        window.show = () => { window.shown = true; document.dispatchEvent(new Event("prerenderingchange")); };"""
    site.page += "<script>window.opsroom = window.opsroom || []; opsroom.push(['track', 'c', 'early', {}]);</script>"
    page = opened(context, site, before=prerendering)
    page.wait_for_function("!!(window.opsroom && opsroom.flush)")
    page.evaluate("opsroom.flush(); dispatchEvent(new Event('pagehide'))")
    assert page.evaluate("Object.keys(localStorage).length") == 0

    page.evaluate("show()")

    assert sorted(flushed(page, shop)) == ["early", "pageview"]


def test_a_prerendered_page_that_is_never_shown_is_not_counted(context, shop, site):
    site.page += """<script type="speculationrules">
        {"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]}</script>"""
    page = opened(context, site)
    flushed(page, shop)
    page.goto("about:blank")

    opened(context, site, "/other")

    wait_for(lambda: ("pageview", "/other") in shop.events())
    assert ("pageview", "/next") not in shop.events()


def test_coming_back_by_the_back_forward_cache_counts_again(context, shop, site):
    page = opened(context, site)
    wait_for(lambda: shop.names == ["pageview"])

    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    assert flushed(page, shop) == ["pageview", "pageview"]


def test_a_page_that_is_hidden_sends_at_once(context, shop, site):
    page = opened(context, site)
    wait_for(lambda: shop.names == ["pageview"])

    page.evaluate("""() => {
        opsroom.track("c", "before", {});
        Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
        document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }""")

    wait_for(lambda: "before" in shop.names)


def test_a_frame_of_another_site_counts_for_itself(context, shop, site):
    outer = Site()
    outer.page = f'<title>Outer</title><iframe src="{site.url}/inner"></iframe>'
    page = context.new_page()

    page.goto(outer.url.replace("127.0.0.1", "localhost"))

    wait_for(lambda: shop.events() == [("pageview", "/inner")])
    outer.close()


def test_calls_on_a_page_whose_script_is_blocked_do_nothing(context, shop, site):
    site.page = (
        f"<title>Shop</title>{STUB}{shop.tag}<script>opsroom.track('c', 'n', {{}}); document.title = 'alive';</script>"
    )
    context.route("**/opsroom.js", lambda route: route.abort())

    page = opened(context, site)

    assert page.title() == "alive"
    assert page.evaluate("opsroom.track('c', 'later', {}); opsroom.length") == 2


def test_calls_before_the_script_is_there_are_made_up_for_also_where_the_page_has_kept_the_queue(context, shop, site):
    kept = "<script>const mine = window.opsroom; opsroom.track('c', 'early', {});</script>"
    site.page = f"<title>Shop</title>{STUB}{kept}{shop.tag}"
    page = opened(context, site)
    page.wait_for_function("!!(window.opsroom && opsroom.flush)")

    page.evaluate("mine.track('c', 'kept', {}); mine.push(['track', 'c', 'pushed', {}])")

    assert sorted(flushed(page, shop)) == ["early", "kept", "pageview", "pushed"]


def test_a_strict_content_security_policy_needs_a_nonce_and_the_address_to_connect_to(context, shop, site, instance):
    policy = f"default-src 'none'; script-src 'nonce-r4nd0m'; connect-src {instance.url}"
    site.headers = {"Content-Security-Policy": policy}
    site.page = f"<title>Shop</title>{STUB}{shop.tag}".replace("<script", '<script nonce="r4nd0m"')

    page = opened(context, site)
    wait_for(lambda: shop.names == ["pageview"])
    page.evaluate("opsroom.track('c', 'leaving', {})")
    page.goto("about:blank")

    wait_for(lambda: "leaving" in shop.names)


def test_a_page_that_is_closed_while_offline_is_sent_by_the_next_one(context, shop, site):
    page = opened(context, site)
    wait_for(lambda: shop.names == ["pageview"])
    context.set_offline(True)
    page.evaluate("opsroom.track('c', 'in the tunnel', {})")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    context.set_offline(False)

    opened(context, site, "/later")

    wait_for(lambda: sorted(shop.names) == ["in the tunnel", "pageview", "pageview"])


@pytest.mark.parametrize("hours", [-30, 2])
def test_a_wrong_clock_is_set_right_before_anything_is_stored(context, shop, site, hours):
    shifted = f"""const Real = Date, by = {hours} * 3600e3;
        window.Date = class extends Real {{
            constructor(...all) {{ super(...(all.length ? all : [Real.now() + by])); }}
            static now() {{ return Real.now() + by; }}
        }};"""
    page = opened(context, site, before=shifted)

    assert flushed(page, shop) == ["pageview"]
    [(ago,)] = shop.events("abs(extract(epoch FROM now() - timestamp))::int")[:1]
    assert ago < 60
    rejected = "SELECT count(*) FROM events_rejectedevent JOIN events_application a ON a.id = application_id"
    assert shop.instance.sql(f"{rejected} WHERE a.name = %s", shop.key) == [(0,)]


def test_half_a_character_at_the_end_of_a_shortened_text_does_not_cost_the_event(context, shop, site):
    page = opened(context, site)
    page.wait_for_function("!!(window.opsroom && opsroom.flush)")

    page.evaluate("opsroom.track('c', 'short', { path: 'fine 🙂'.slice(0, 6) })")

    wait_for(lambda: ("short", "fine \ufffd") in shop.events())
