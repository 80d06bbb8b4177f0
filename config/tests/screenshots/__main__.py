"""Take the pictures in docs/screenshots/ anew, from a real instance in a real browser: make screenshots.

Each screen wide and 400 pixels narrow, light and dark. Needs Chromium.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from chats.fake_banner_api.pictures import picture
from config.tests.browser import find_chromium, log_in, running_browser
from config.tests.instance import Instance, running_instance
from config.tests.screenshots import events, testrunner

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "screenshots"
WIDTHS = {"wide": (1300, 860), "narrow": (400, 860)}
CHATS = 250_000
TEXT = "The weekend is close: 20 % off everything in the shop, until Sunday evening."
READ_LISTS = """async () => {
    for (let size = 1; size < 61; size += 1) await fetch(`/tasks/?page_size=${1 + (size >> 4)}`);
}"""
Show = Callable[[Page, Instance], None]


def login(page: Page, instance: Instance) -> None:
    page.context.clear_cookies()
    page.goto(f"{instance.url}/admin/login/")


def front_page(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/")
    page.wait_for_timeout(2_000)


def chats(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/chats/chat/")


def send_dialog(page: Page, instance: Instance) -> None:
    chats(page, instance)
    button = page.locator("a, button").filter(has_text="Send banner").first
    if not button.is_visible():  # on a narrow screen the buttons are behind one
        page.locator("div[x-data*=showActions] > a").first.click()
    button.click()
    page.get_by_role("button", name="Send to all chats").wait_for()


def one_chat(page: Page, instance: Instance) -> None:
    chats(page, instance)
    page.locator("table tbody tr a:not([href*='?'])").first.click()
    page.wait_for_timeout(1_000)


def compose(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/chats/broadcast/add/")
    page.fill("textarea[name=text]", TEXT)


def preview(page: Page, instance: Instance) -> None:
    compose(page, instance)
    page.set_input_files(
        "input[type=file] >> nth=0", {"name": "b.jpeg", "mimeType": "image/jpeg", "buffer": picture(7)}
    )
    page.get_by_role("button", name="Preview").click()
    page.wait_for_load_state()


def broadcasts(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/chats/broadcast/")
    page.wait_for_timeout(500)


def banners(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/chats/banner/")
    page.wait_for_timeout(3_000)


def broadcast_with_status(status: str) -> Show:
    def show(page: Page, instance: Instance) -> None:
        newest = instance.one("SELECT max(id) FROM chats_broadcast WHERE status = %s", status)
        page.goto(f"{instance.url}/admin/chats/broadcast/{newest}/change/")
        page.wait_for_timeout(500)

    return show


def board(page: Page, instance: Instance) -> None:
    project = instance.one(
        "SELECT project_id FROM projects_task GROUP BY project_id ORDER BY count(*), project_id LIMIT 1"
    )
    page.goto(f"{instance.url}/admin/projects/project/{project}/board/")
    page.wait_for_timeout(500)


def projects(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/project/")


def tasks(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/task/")
    page.wait_for_timeout(500)


def list_cache(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/project/cache/")
    page.evaluate(READ_LISTS)
    page.wait_for_timeout(1_500)  # the counts of a second are saved together
    page.reload()


def task(page: Page, instance: Instance) -> None:
    said = instance.one("SELECT task_id FROM projects_comment GROUP BY task_id ORDER BY count(*) DESC, task_id LIMIT 1")
    page.goto(f"{instance.url}/admin/projects/task/{said}/change/")
    page.wait_for_timeout(500)


def calendar(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/task/calendar/")
    page.wait_for_timeout(500)


def calendar_week(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/task/calendar/?view=week")
    page.wait_for_timeout(500)


def reports(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/report/")
    page.wait_for_timeout(500)


def resend(page: Page, instance: Instance) -> None:
    report(page, instance)
    page.get_by_role("button", name="Mail again").click()
    page.get_by_role("button", name="Mail report again").wait_for()
    page.wait_for_timeout(500)


def reminders(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/reminder/")
    page.wait_for_timeout(500)


def report(page: Page, instance: Instance) -> None:
    newest = instance.one("SELECT id FROM projects_report ORDER BY date DESC LIMIT 1")
    page.goto(f"{instance.url}/admin/projects/report/{newest}/change/")


def mails(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/projects/project/mails/")


def error(page: Page, instance: Instance) -> None:
    send_dialog(page, instance)
    page.get_by_role("button", name="Send to all chats").click()
    page.get_by_text("cannot be used").first.wait_for()


def press(page: Page, instance: Instance) -> None:
    send_dialog(page, instance)
    page.get_by_role("button", name="Send to all chats").click()
    page.wait_for_url("**/admin/chats/broadcast/*/change/")


@contextmanager
def page_of(browser: Browser, instance: Instance, width: str, scheme: str, person: str) -> Iterator[Page]:
    size = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    log_in(page, instance.url, person, "12345")
    yield page
    context.close()


def keep(page: Page, name: str) -> None:
    """Save what the page shows, in 256 colours: a third of the bytes, and nobody sees it."""
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def take(browser: Browser, instance: Instance, screens: dict[str, Show], person: str = "marketer") -> None:
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            with page_of(browser, instance, width, scheme, person) as page:
                for name, show in screens.items():
                    show(page, instance)
                    keep(page, f"{name}-{width}-{scheme}")


def take_while_sending(browser: Browser, instance: Instance) -> None:
    """The running broadcast has to be met half way, so each picture has one of its own."""
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            with page_of(browser, instance, width, scheme, "marketer") as page:
                press(page, instance)
                instance.wait_for(lambda: bool(instance.one(HALF_WAY)))
                page.wait_for_timeout(900)
                keep(page, f"broadcast-running-{width}-{scheme}")
                instance.wait_for(lambda: not instance.one(MOVING))


def take_projects(browser: Browser, instance: Instance) -> None:
    """What the planner sees; the day's report is made and mailed first."""
    instance.manage("make_report")
    screens: dict[str, Show] = {
        "projects": projects, "board": board, "tasks": tasks, "task": task, "calendar": calendar,
        "calendar-week": calendar_week, "reports": reports, "report": report, "report-resend": resend,
        "reminders": reminders, "mails": mails,
    }  # fmt: skip
    take(browser, instance, screens, "planner")


def at(path: str) -> Show:
    def show(page: Page, instance: Instance) -> None:
        page.goto(f"{instance.url}/admin/{path}")
        page.wait_for_timeout(500)

    return show


def schedule(page: Page, instance: Instance) -> None:
    pk = instance.one("SELECT id FROM django_celery_beat_periodictask WHERE name = 'daily report'")
    at(f"django_celery_beat/periodictask/{pk}/change/")(page, instance)


def project_deletion(page: Page, instance: Instance) -> None:
    pk = instance.one("SELECT min(id) FROM projects_project")
    at(f"projects/project/{pk}/delete/")(page, instance)


ADMINISTRATION: dict[str, Show] = {
    "front-page": front_page, "my-access": at("my-access/"), "users": at("auth/user/"), "list-cache": list_cache,
    "schedules": at("django_celery_beat/periodictask/"), "schedule": schedule, "project-deletion": project_deletion,
    "no-result": at("projects/task/?q=giraffe"),
}  # fmt: skip
MOVING = "SELECT count(*) FROM chats_broadcast WHERE status IN ('queued', 'sending')"
HALF_WAY = "SELECT count(*) FROM chats_broadcast WHERE status = 'sending' AND delivered > audience_size / 4"


def main() -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("There is no Chromium: apt install chromium, or name one in CHROMIUM.")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with running_instance(home, BROADCAST_CHUNK="500") as instance, running_browser(chromium) as browser:
            instance.manage("create_demo")
            instance.manage("create_fake_chats", "--total", str(CHATS), "-v0")
            for start in (instance.start_web, instance.start_worker, instance.start_beat):
                start()
            take_while_sending(browser, instance)
            finished = {
                "chats": chats, "send-dialog": send_dialog, "chat": one_chat,
                "compose": compose, "compose-preview": preview, "broadcasts": broadcasts, "banners": banners,
                "broadcast-sent": broadcast_with_status("sent"), "login": login,
            }  # fmt: skip
            take(browser, instance, finished)
            take_projects(browser, instance)
            testrunner.prepare(instance)
            take(browser, instance, testrunner.SCREENS, "tester")
            events.prepare(instance)
            take(browser, instance, events.SCREENS, "analyst")
            take(browser, instance, ADMINISTRATION, "admin")
        with running_instance(home, BANNER_API_URL="http://127.0.0.1:9/photos/") as instance:
            instance.start_web()
            with running_browser(chromium) as browser:
                take(browser, instance, {"send-error": error})


if __name__ == "__main__":
    main()
