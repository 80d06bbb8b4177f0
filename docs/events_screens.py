"""The screens of events, as the analyst sees them, for docs/take_screenshots.py."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

from playwright.sync_api import Page

from config.tests.instance import Instance

# Some whose schema can be mended.
WRONG = """SELECT application_id, category, name, code, pointer FROM events_rejectedevent
 WHERE (category, name) IN (SELECT category, name FROM events_eventtype) AND pointer LIKE '/data/%'
 GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC"""
VISIT = "SELECT session_id FROM events_session WHERE event_count BETWEEN 5 AND 40 ORDER BY last_seen DESC"


def explorer(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/event/?range=7d")
    page.locator(".ev-row").nth(2).click()
    page.locator("#explorer-beside .json").wait_for()
    page.wait_for_timeout(700)
    page.evaluate("scrollTo(0, 0)")


def session(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/session/{quote(instance.one(VISIT))}/change/")


def rejected(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/rejectedevent/?range=all")


def rejected_group(page: Page, instance: Instance) -> None:
    application, category, name, code, pointer = instance.sql(WRONG)[0]
    parts = {"application": application, "category": category, "name": name, "code": code, "pointer": pointer}
    page.goto(f"{instance.url}/admin/events/rejectedevent/group/?{urlencode(parts)}")


def replay_dialog(page: Page, instance: Instance) -> None:
    rejected_group(page, instance)
    page.locator("#verb-replay").click()
    page.get_by_role("button", name="Replay them").wait_for()
    page.wait_for_timeout(300)


def event_type(page: Page, instance: Instance) -> None:
    rejected_group(page, instance)
    page.locator("a", has_text="Fix the schema").click()
    page.wait_for_load_state()
    page.locator("#dry-run").click()
    page.locator(".dry-run").wait_for()
    page.evaluate("scrollTo(0, 0)")


def event_types(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/eventtype/")


def applications(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/application/")


def application(page: Page, instance: Instance) -> None:
    newest = instance.one("SELECT min(id) FROM events_application")
    page.goto(f"{instance.url}/admin/events/application/{newest}/change/")


SCREENS: dict[str, Callable[[Page, Instance], None]] = {
    "explorer": explorer,
    "session": session,
    "rejected": rejected,
    "rejected-group": rejected_group,
    "replay-dialog": replay_dialog,
    "event-type": event_type,
    "event-types": event_types,
    "applications": applications,
    "application": application,
}
