"""Whatever was sent and stored has its page in the admin, and its answer over REST."""

import json
from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.factories import ApplicationFactory, EventFactory, RejectedEventFactory
from events.models import Application, Event, RejectedEvent
from events.rejected import backfill
from events.tests.test_envelope import ANY_JSON, BROKEN, FAULTY
from events.validation.event import Item, read
from events.validation.rules import ApplicationSettings, Rules

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
TEXTS = [
    "\\.",
    "a\tb\nc\rd",
    "'",
    '"><script>',
    "{{ x }}",
    "\u2028",
    "é\U0001f600",
    "\x01\x7f",
    " ",
    "/",
    "a / b",
    "?#&",
    "..",
]


@pytest.fixture
def shop() -> Application:
    return ApplicationFactory(name="Shop")


def store(content: bytes, application: Application) -> list[Item]:
    """Keep what was sent as the ingest does, in this test's transaction; what is refused as a whole is nowhere."""
    items = read(content, Rules.for_application(ApplicationSettings(application.pk), {}))
    backfill.store([item for item in items if not item.reasons])
    for item in items:
        if item.reasons:
            first = item.reasons[0]
            RejectedEventFactory(
                application=application, event_id=item.event_id, category=item.category, name=item.name,
                code=first["code"], pointer=first["pointer"], reasons=item.reasons, raw=item.raw,
            )  # fmt: skip
    return items


def addresses() -> list[str]:
    """Where everything that is stored can be seen."""
    found = [
        "/admin/events/event/?range=all",
        "/admin/events/rejectedevent/?range=all",
        "/events/",
        "/rejected-events/",
    ]
    for event in Event.objects.order_by("-pk")[:20]:
        parts = urlencode({"range": "all", "category": event.category, "name": event.name})
        found += [f"/admin/events/event/{event.pk}/{part}/" for part in ("change", "beside")]
        found += [f"/events/{event.pk}/", f"/admin/events/event/?{parts}"]
        found += [f"/events/?{urlencode({'session': event.session_id})}"]
    for row in RejectedEvent.objects.order_by("-pk")[:20]:
        parts = {name: getattr(row, name) for name in ("category", "name", "code", "pointer")}
        group = urlencode({"application": row.application_id, **parts})
        found += [f"/admin/events/rejectedevent/{row.pk}/{part}/" for part in ("change", "beside")]
        found += [f"/rejected-events/{row.pk}/", f"/admin/events/rejectedevent/group/?{group}"]
        found += [f"/admin/events/eventtype/add/?rejected={quote(group)}"]
    return found


def assert_shown(client: Client) -> None:
    for address in addresses():
        answer = client.get(address)
        assert answer.status_code == 200, address
        answer.content.decode()


@pytest.mark.parametrize("hostile", [*FAULTY, *BROKEN, b'"', b"\xff\xfe{\x00}\x00", b'{"a": 1}{"b": 2}', b"null"])
def test_what_is_hostile_is_shown(as_superuser, shop, hostile):
    assert store(hostile, shop)

    assert_shown(as_superuser)


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_shown_and_leads_to_its_session(as_superuser, shop, text):
    EventFactory(application=shop, session_id=text, category=text, name=text, data={text: [text]})

    assert_shown(as_superuser)
    page = as_superuser.get("/admin/events/event/?range=all").content.decode()
    assert "<script>&quot;" not in page and '"><script>' not in page


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_was_sent_is_shown(as_superuser, shop, content):
    RejectedEvent.objects.all().delete()
    store(content, shop)

    assert_shown(as_superuser)
