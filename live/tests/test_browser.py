"""live.js in a real browser: marked elements are notified of changes, also of those while the socket was closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
MAKE_USER = """
from django.contrib.auth.models import User
User.objects.create_superuser("root", password="x")
"""
MARKED = """() => {
    window.heard = []; window.told = 0; window.reloads = 0;
    document.body.insertAdjacentHTML("beforeend",
        '<p id="marked" data-live="broadcasts, broadcast:7"></p><p id="status" data-live-status hidden></p>');
    document.getElementById("marked").addEventListener("live", () => { window.told += 1; });
}"""
SUBSCRIBE = """() => { window.Opsroom.live.subscribe(["broadcasts"],
    (message) => window.heard.push(message.data.n), () => { window.reloads += 1; }); }"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("live")) / "home") as instance:
        instance.run("from django.contrib.auth.models import User; User.objects.create_superuser('root', password='x')")
        instance.start_web()
        yield instance


@pytest.fixture
def page(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    log_in(page, instance.url, "root", "x")
    page.goto(f"{instance.url}/admin/password_change/")  # a page that sends no requests by itself
    page.evaluate(MARKED)
    page.evaluate(SUBSCRIBE)
    page.wait_for_function("window.reloads === 1 && window.told === 1")  # changes while the page was loading
    yield page
    context.close()


def publish(instance: Instance, *numbers: int, topic: str = "broadcasts") -> None:
    instance.run(
        f"from live.publish import publish_many; publish_many([({topic!r}, 'x', {{'n': n}}) for n in {list(numbers)}])"
    )


def pass_on_all_but(page: Page, refused: Callable[[int, str], bool]) -> tuple[list[WebSocketRoute], list[str]]:
    """Record the page's sockets and messages; drop messages for which `refused(number of socket, text)` is true."""
    lines: list[WebSocketRoute] = []
    said: list[str] = []

    def pass_on(line: WebSocketRoute) -> None:
        number = len(lines)
        lines.append(line)
        server = line.connect_to_server()

        def to_server(text: str) -> None:
            said.append(text)
            if not refused(number, text):
                server.send(text)

        line.on_message(to_server)
        server.on_message(line.send)

    page.route_web_socket("**/ws/notifications/", pass_on)
    page.reload()
    page.evaluate(MARKED)
    page.evaluate(SUBSCRIBE)
    page.wait_for_function("window.reloads === 1")
    return lines, said


def test_a_topic_that_was_joined_while_the_line_broke_is_loaded_again(page: Page, instance: Instance):
    lines, _ = pass_on_all_but(page, lambda number, text: number == 0 and "broadcast:9" in text)
    page.evaluate("""() => {
        window.loaded = 0;
        Opsroom.live.subscribe(["broadcast:9"], () => {}, () => { window.loaded += 1; });
    }""")

    publish(instance, 1, topic="broadcast:9")  # the server has not received the subscription
    publish(instance, 2)
    page.wait_for_function("window.heard.length === 1")  # and the page has received a later message
    lines[0].close()

    page.wait_for_function("window.loaded === 1", timeout=45_000)
    assert page.evaluate("window.reloads") == 1  # the other topic has missed nothing


def test_the_server_hears_that_a_topic_is_left_and_joined_again(page: Page, instance: Instance):
    _, said = pass_on_all_but(page, lambda number, text: False)

    def says(kind: str, topic: str) -> int:
        messages = [json.loads(text) for text in said]
        return sum(message["type"] == kind and topic in message.get("topics", []) for message in messages)

    page.evaluate("window.leave = Opsroom.live.subscribe(['broadcast:9'], () => {}); window.leave()")
    page.evaluate("document.getElementById('marked').remove(); document.dispatchEvent(new Event('htmx:load'))")
    page.wait_for_timeout(200)
    assert (says("unsubscribe", "broadcast:9"), says("unsubscribe", "broadcast:7")) == (1, 1)
    assert says("unsubscribe", "broadcasts") == 0

    page.evaluate(MARKED)
    page.evaluate("document.dispatchEvent(new Event('htmx:load'))")
    page.wait_for_function("window.told === 1")
    assert says("subscribe", "broadcast:7") == 2


def test_a_page_hears_of_every_change_and_marked_elements_a_few_times_a_second(page: Page, instance: Instance):
    publish(instance, *range(100))

    page.wait_for_function("window.heard.length === 100 && window.told > 1")
    assert page.evaluate("window.heard") == list(range(100))
    assert page.evaluate("window.told") < 10


def test_a_page_catches_up_after_the_server_was_away_and_asks_by_itself_meanwhile(page: Page, instance: Instance):
    publish(instance, 1)
    page.wait_for_function("window.heard.length === 1")

    instance.kill("web")
    publish(instance, 2, 3)
    page.wait_for_function("window.told >= 4", timeout=20_000)
    expect(page.locator("#status")).to_contain_text("Connection lost")
    instance.start_web()

    page.wait_for_function("window.heard.length === 3", timeout=45_000)
    assert page.evaluate("window.heard") == [1, 2, 3]
    assert page.evaluate("window.reloads") == 1
    expect(page.locator("#status")).to_be_hidden()


def test_a_line_that_has_died_in_silence_is_noticed_and_what_was_missed_is_told(page: Page, instance: Instance):
    lines: list[WebSocketRoute] = []
    dead: list[WebSocketRoute] = []

    def pass_on(line: WebSocketRoute) -> None:
        lines.append(line)
        server = line.connect_to_server()
        line.on_message(server.send)
        server.on_message(lambda text: None if line in dead else line.send(text))

    page.route_web_socket("**/ws/notifications/", pass_on)
    page.reload()
    page.evaluate(MARKED)
    page.evaluate(SUBSCRIBE)
    page.wait_for_function("window.reloads === 1")
    publish(instance, 1)
    page.wait_for_function("window.heard.length === 1")

    dead.append(lines[0])  # neither messages nor the end of the connection get through
    publish(instance, 2)

    page.wait_for_function("window.heard.length === 2", timeout=60_000)  # a ping every 25 s, 10 s for the pong
    assert page.evaluate("window.heard") == [1, 2]
    assert len(lines) == 2


def test_a_page_whose_user_may_not_watch_it_any_more_says_so_and_is_live_again_when_they_may(
    page: Page, instance: Instance
):
    instance.sql("UPDATE auth_user SET is_superuser = false")
    expect(page.locator("#status")).to_contain_text("not updated any more", timeout=60_000)

    instance.sql("UPDATE auth_user SET is_superuser = true")
    page.evaluate("window.dispatchEvent(new Event('pagehide'))")
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    publish(instance, 5)

    page.wait_for_function("window.heard.includes(5)")
    expect(page.locator("#status")).to_be_hidden()


def test_a_page_whose_user_was_signed_out_says_so(page: Page, instance: Instance):
    instance.sql("DELETE FROM django_session")

    expect(page.locator("#status")).to_contain_text("signed out", timeout=60_000)


def test_a_message_that_was_too_large_makes_the_page_load_the_state_and_go_on(page: Page, instance: Instance):
    instance.run("from live.publish import publish; publish('broadcasts', 'x', {'n': 'y' * 40_000})")
    page.wait_for_function("window.reloads === 2 && window.told === 2")

    publish(instance, 1)

    page.wait_for_function("window.heard.length === 1")
    assert page.evaluate("window.heard") == [1]


PART = '<p id="part" data-live="broadcasts" hx-get="/part/" hx-trigger="live" hx-swap="outerHTML">{}</p>'


def test_a_part_that_was_being_asked_for_when_something_happened_is_asked_for_again(page: Page, instance: Instance):
    """The first response was generated before the change, and replaces the element that was notified of it."""
    asked: list[Route] = []
    page.route("**/part/", lambda route: asked.append(route))
    page.evaluate(
        """(part) => {
            document.body.insertAdjacentHTML("beforeend", part);
            window.htmx.process(document.getElementById("part"));
        }""",
        PART.format("at the start"),
    )

    publish(instance, 1)
    page.wait_for_function("window.told === 2")
    publish(instance, 2)  # before the first response arrives
    page.wait_for_function("window.told === 3")
    asked[0].fulfill(content_type="text/html", body=PART.format("after 1"))
    expect(page.locator("#part")).to_have_text("after 1")

    page.wait_for_function("window.told === 4", timeout=10_000)
    page.wait_for_timeout(100)  # until the request reaches this test
    asked[1].fulfill(content_type="text/html", body=PART.format("after 2"))
    expect(page.locator("#part")).to_have_text("after 2")
