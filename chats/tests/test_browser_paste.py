"""Pasting into a message in a real browser: text from a spreadsheet stays text, a picture becomes a picture."""

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
ROWS = """
from chats.models import Chat
from django.contrib.auth.models import Group, User
mara = User.objects.create_user("mara", password="12345", is_staff=True)
mara.groups.add(Group.objects.get(name="marketing"))
Chat.objects.create(user_uuid="2f1c7a9e-4a54-4c5e-9b54-8c6a0c3f1d2e")
"""
# What a spreadsheet copies: the cells as text, as a table, and as a picture.
COPY = """
async (kinds) => {
    const canvas = new OffscreenCanvas(8, 8);
    canvas.getContext("2d").fillRect(0, 0, 8, 8);
    const all = {
        "text/plain": new Blob(["Price\\t12\\nSum\\t30"], { type: "text/plain" }),
        "text/html": new Blob(["<table><tr><td>Price</td><td>12</td></tr></table>"], { type: "text/html" }),
        "image/png": await canvas.convertToBlob({ type: "image/png" }),
    };
    const chosen = Object.fromEntries(kinds.map((kind) => [kind, all[kind]]));
    await navigator.clipboard.write([new ClipboardItem(chosen)]);
}
"""
CELLS, PICTURE = ["text/plain", "text/html", "image/png"], ["image/png"]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(Path(tmp_path_factory.mktemp("paste")) / "home") as instance:
        instance.run(ROWS)
        instance.start_web()
        yield instance


@pytest.fixture
def mara(browser: Browser, instance: Instance) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    log_in(page, instance.url, "mara", "12345")
    yield page
    context.close()


@pytest.mark.parametrize("where", ["a broadcast", "a chat"])
def test_cells_are_pasted_as_text_and_a_picture_as_a_picture(mara: Page, instance: Instance, where: str):
    chat = instance.one("SELECT id FROM chats_chat LIMIT 1")
    address = "broadcast/add/" if where == "a broadcast" else f"chat/{chat}/change/"
    mara.goto(f"{instance.url}/admin/chats/{address}")
    text, picture = mara.locator("textarea[name=text]"), mara.locator("input[type=file]").first

    text.focus()
    mara.evaluate(COPY, CELLS)
    mara.keyboard.press("Control+v")
    expect(text).to_have_value("Price\t12\nSum\t30")
    assert picture.evaluate("input => input.files.length") == 0

    mara.evaluate(COPY, PICTURE)
    mara.keyboard.press("Control+v")
    mara.wait_for_function("document.querySelector('input[type=file]').files.length === 1")
    expect(text).to_have_value("Price\t12\nSum\t30")
