"""The screens of events, as the analyst sees them, for `make screenshots`."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote, urlencode

from playwright.sync_api import Page

from config.tests.instance import Instance

# Some whose schema can be mended.
WRONG = """SELECT application_id, category, name, code, pointer FROM events_rejectedevent
 WHERE (category, name) IN (SELECT category, name FROM events_eventtype) AND pointer LIKE '/data/%%'
 GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC"""
VISIT = "SELECT session_id FROM events_session WHERE event_count BETWEEN 5 AND 40 ORDER BY last_seen DESC"


# Most users have a chat; one has none, and one could not be reached.
NOTIFICATIONS = """
from chats.models import Chat
from events.models import Notification
from events.services import send_notification
texts = ["Your parcel is on its way.", "Your parcel has arrived.", "Your order A-2041 is ready to be collected."]
Notification.objects.create(user_id="a3f1c9d2", description=texts[0], attempts=5, error="OperationalError: out of disk")
send_notification(user_id="warehouse-7", description="Twelve orders are waiting to be packed.")
for number, chat in enumerate(Chat.objects.order_by("pk")[:9]):
    send_notification(user_id=str(chat.user_uuid), description=texts[number % 3])
"""


def prepare(instance: Instance) -> None:
    """Have some users told something."""
    instance.shell(NOTIFICATIONS)
    instance.wait_for(lambda: instance.one("SELECT count(*) FROM events_notification WHERE status = 'Processed'") == 10)


def explorer(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/event/?range=7d")
    page.locator(".events-row").nth(2).click()
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
    page.get_by_role("dialog").get_by_role("button", name="Replay").wait_for()
    page.wait_for_timeout(300)


def event_type(page: Page, instance: Instance) -> None:
    rejected_group(page, instance)
    page.locator("a", has_text="Fix the schema").click()
    page.wait_for_load_state()
    page.locator("#dry-run").click()
    page.locator(".dry-run").wait_for()
    page.evaluate("scrollTo(0, 0)")


def dry_run(page: Page, instance: Instance) -> None:
    """What a stricter schema would have said, below the example or beside the schema."""
    pk = instance.one("SELECT id FROM events_eventtype WHERE name = 'pageview'")
    page.goto(f"{instance.url}/admin/events/eventtype/{pk}/change/")
    schema = '{"type": "object", "required": ["host", "path", "referrer"], "properties": {"path": {"maxLength": 8}}}'
    page.fill("#id_schema", json.dumps(json.loads(schema), indent=2))
    page.locator("#dry-run").click()
    page.locator(".dry-run").wait_for()
    page.wait_for_timeout(700)
    page.locator(".dry-run").evaluate("(result) => result.scrollIntoView({ block: 'end' })")
    page.evaluate("scrollBy(0, 40)")


def event_types(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/eventtype/")


def sessions(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/session/")


def notifications(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/notification/")


def new_key(page: Page, instance: Instance) -> None:
    """A key just made, and how to use it."""
    newest = instance.one("SELECT max(id) FROM events_application")
    page.goto(f"{instance.url}/admin/events/application/{newest}/rotate/")
    page.get_by_role("button", name="Create new key").click()
    page.locator("#secret").wait_for()


def applications(page: Page, instance: Instance) -> None:
    page.goto(f"{instance.url}/admin/events/application/")


def application(page: Page, instance: Instance) -> None:
    newest = instance.one("SELECT min(id) FROM events_application")
    page.goto(f"{instance.url}/admin/events/application/{newest}/change/")


SCREENS: dict[str, Callable[[Page, Instance], None]] = {
    "explorer": explorer,
    "sessions": sessions,
    "session": session,
    "rejected": rejected,
    "rejected-group": rejected_group,
    "replay-dialog": replay_dialog,
    "event-type": event_type,
    "dry-run": dry_run,
    "event-types": event_types,
    "applications": applications,
    "application": application,
    "application-key": new_key,
    "notifications": notifications,
}
