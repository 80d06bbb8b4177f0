"""An analyst in a real browser, on a real instance: what is rejected is mended, replayed and gone."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from config.tests.browser import find_chromium, log_in
from config.tests.instance import Instance, running_instance

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or name one in CHROMIUM"),
]
KEY = "wk_of-the-web-shop"
HOUSE = f"""
import hashlib
from django.contrib.auth.models import Group, User
from events.models import Application, WriteKey
from events.services import create_event_type
anna = User.objects.create_user("anna", password="12345", is_staff=True)
anna.groups.add(Group.objects.get(name="analytics"))
shop = Application.objects.create(name="Web shop")
WriteKey.objects.create(application=shop, prefix="wk_of-th", key_hash=hashlib.sha256(b"{KEY}").hexdigest())
schema = {{"type": "object", "properties": {{"total": {{"type": "number"}}}}, "additionalProperties": False}}
create_event_type(category="shop", name="checkout", schema=schema)
"""
WITH_ITEMS = """{
  "type": "object",
  "properties": {"total": {"type": "number"}, "items": {"type": "integer"}},
  "additionalProperties": false
}"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("rejected")) / "home") as instance:
        instance.run(HOUSE)
        instance.start_web()
        instance.start_worker()
        instance.start_beat()
        yield instance


@pytest.fixture
def anna(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, timezone_id="Europe/Berlin")
    page = context.new_page()
    page.set_default_timeout(30_000)
    log_in(page, instance.url, "anna", "12345")
    yield page
    context.close()


def send(instance: Instance, *payloads: dict[str, object]) -> dict[str, object]:
    events = [
        {
            "session_id": "visit",
            "category": "shop",
            "name": "checkout",
            "data": data,
            "timestamp": f"{datetime.now(UTC)}",
        }
        for data in payloads
    ]
    answer = requests.post(
        f"{instance.url}/events/", json=events, headers={"Authorization": f"Bearer {KEY}"}, timeout=10
    )
    assert answer.status_code == 202
    return answer.json()


def test_a_rejected_group_is_mended_tried_published_replayed_and_gone(anna, instance):
    answer = send(instance, {"total": 12.5}, {"total": 3, "items": 2}, {"total": 4, "items": 1})
    assert (answer["accepted"], answer["rejected"]) == (1, 2)

    anna.goto(f"{instance.url}/admin/events/rejectedevent/")
    anna.get_by_role("link", name="additionalProperties /data/*").click()
    expect(anna.locator("mark.json-line")).to_contain_text('"items": 1')

    anna.get_by_role("link", name="Fix the schema").click()
    expect(anna.locator("#verdict")).to_contain_text("Would be rejected")
    anna.locator("#id_schema").fill(WITH_ITEMS)
    expect(anna.locator("#verdict")).to_contain_text("Would be accepted")
    anna.locator("#dry-run").click()
    expect(anna.locator("#dry-run-result")).to_contain_text("Would reject 0 of the last 1.")
    expect(anna.locator("#dry-run-result")).to_contain_text("2 would be accepted")

    anna.locator("#id_note").fill("The shop counts items")
    anna.get_by_role("button", name="Publish").click()
    expect(anna.get_by_text("Version 2 is published")).to_be_visible()
    anna.get_by_role("link", name="Back to rejected events").click()

    anna.get_by_role("button", name="Replay", exact=True).click()
    dialog = anna.get_by_role("dialog")
    expect(dialog).to_contain_text("2 events will be validated again")
    dialog.get_by_role("button", name="Replay 2 events").click()
    expect(anna.locator(".rejected-replay")).to_contain_text("Replayed", timeout=30_000)
    expect(anna.locator(".rejected-replay")).to_contain_text("2 stored")
    expect(anna.get_by_text("No events left")).to_be_visible(timeout=30_000)
    assert instance.one("SELECT count(*) FROM events_event") == 3
    assert instance.one("SELECT count(*) FROM events_rejectedevent") == 0


def test_the_explorer_hears_of_an_event_and_is_zoomed_by_dragging_and_by_the_keyboard(anna, instance):
    send(instance, {"total": 1})
    anna.goto(f"{instance.url}/admin/events/event/?range=1h")
    shown = anna.locator("#explorer-rows tbody tr")
    expect(shown.first).to_be_visible()
    before = shown.count()
    anna.evaluate("window.notReloaded = true")

    send(instance, {"total": 2})
    expect(shown).to_have_count(before + 1, timeout=30_000)
    shown.first.locator(".events-row").click()
    expect(anna.locator("#explorer-beside .json")).to_contain_text('"total": 2')
    assert anna.evaluate("window.notReloaded")

    anna.locator("#chart-plot").focus()
    anna.keyboard.press("End")
    anna.keyboard.press("Shift+Home")  # the caption counts all that is chosen, not the bar that was reached last
    all_of_it = sum(int(bar.get_attribute("data-events") or "") for bar in anna.locator("#chart-plot g").all())
    expect(anna.locator(".events-chart__said")).to_contain_text(f": {all_of_it} event")
    for key in ("End", "Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
        anna.keyboard.press(key)
    anna.wait_for_url(re.compile("from="))
    box = anna.locator("#chart-plot").bounding_box()
    assert box is not None
    anna.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    anna.mouse.down()
    anna.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=5)
    address = anna.url
    anna.mouse.up()
    anna.wait_for_url(lambda url: url != address)
    expect(anna.get_by_role("link", name="Zoom out")).to_be_visible()


def test_the_editor_indents_lets_the_keyboard_out_and_points_at_a_mistake(anna, instance):
    pk = instance.one("SELECT id FROM events_eventtype LIMIT 1")
    anna.goto(f"{instance.url}/admin/events/eventtype/{pk}/change/")
    editor = anna.locator("#id_schema")

    editor.fill("{")
    editor.press("Enter")
    expect(editor).to_have_value("{\n  ")
    editor.press("Tab")
    expect(editor).to_have_value("{\n    ")
    editor.press_sequentially("oops")
    expect(anna.locator("#verdict")).to_contain_text("Line 2, column 5")
    editor.press("Escape")
    editor.press("Tab")
    expect(anna.locator("#id_description")).to_be_focused()

    anna.locator("#id_example").fill('{"n": 1}')
    anna.get_by_role("button", name="Publish").click()
    expect(anna.locator("[data-error]")).to_contain_text("Line 2, column 5")
    expect(anna.locator("#schema-typed")).to_be_visible()
    expect(anna.locator("#id_example")).to_have_value('{"n": 1}')
    assert anna.evaluate("document.getElementById('id_schema').selectionStart") == 6
    expect(editor).to_have_value("{\n    oops")


def test_a_key_is_shown_once_and_copied(anna, instance):
    pk = instance.one("SELECT id FROM events_application LIMIT 1")
    anna.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=instance.url)
    anna.goto(f"{instance.url}/admin/events/application/{pk}/change/")

    anna.get_by_role("button", name="Rotate key").click()
    dialog = anna.get_by_role("dialog")
    dialog.get_by_label("Hours that old keys still work").fill("-1")
    dialog.locator("form").evaluate("form => { form.noValidate = true }")
    dialog.get_by_role("button", name="Create new key").click()
    anna.locator("#id_overlap_hours[aria-invalid]").fill("2")
    anna.get_by_role("button", name="Create new key").click()

    secret = anna.locator("#secret").input_value()
    anna.locator("[data-copy=secret]").click()
    assert anna.evaluate("navigator.clipboard.readText()") == secret and secret.startswith("wk_")
    anna.reload()
    expect(anna.locator("#secret")).to_have_value(secret)  # nothing is lost by F5, for ten minutes
    anna.context.clear_cookies(name=re.compile("shown_once$"))
    anna.reload()
    expect(anna.locator("#secret")).to_have_count(0)
