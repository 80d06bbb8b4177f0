"""Every list that is read page by page, walked to its end where 1,200 rows share all that they are sorted by."""

from uuid import UUID

import pytest
from django.db import connection
from rest_framework.test import APIClient

from events.factories import ApplicationFactory, EventTypeFactory
from events.models import Application, Event, Notification, RejectedEvent, Session
from events.tests.counting import NOON, count_all

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
MANY = 1_200


def events(application: Application, **members: object) -> None:
    Event.objects.bulk_create(
        Event(id=1 + n, application=application, event_id=UUID(int=n), session_id="mine", category="c", name="n",
              data={}, timestamp=NOON, **members)
        for n in range(MANY)
    )  # fmt: skip
    count_all()


def rejected(application: Application) -> None:
    RejectedEvent.objects.bulk_create(
        RejectedEvent(id=1 + n, application=application, category="c", name="n", code="type", reasons=[], raw=b"",
                      raw_hash="", received_at=NOON)
        for n in range(MANY)
    )  # fmt: skip


def sessions(_: Application) -> None:
    Session.objects.bulk_create(
        Session(session_id=f"s/{n} Ü", first_seen=NOON, last_seen=NOON, event_count=1) for n in range(MANY)
    )


def notifications(_: Application) -> None:
    Notification.objects.bulk_create(
        Notification(event_id=UUID(int=n), user_id=f"u{n}", description="t") for n in range(MANY)
    )
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events_notification SET created_at = %s", [NOON])


def applications(_: Application) -> None:
    Application.objects.bulk_create(Application(name=f"a{n}") for n in range(MANY - 1))


def event_types(_: Application) -> None:
    for n in range(MANY // 10):
        EventTypeFactory(category="c", name=f"n{n}")


LISTS = {
    "/events/?page_size=100": (events, "id"),
    "/events/?application=1000000&page_size=100": (events, "id"),
    "/events/?page_size=7&session=mine": (events, "id"),
    "/rejected-events/?page_size=100": (rejected, "id"),
    "/sessions/?page_size=100": (sessions, "session_id"),
    "/notifications/?page_size=100": (notifications, "event_id"),
    "/applications/?page_size=100": (applications, "id"),
    "/event-types/?page_size=7": (event_types, "id"),
}


@pytest.mark.parametrize("address", LISTS)
def test_a_list_of_equals_has_each_row_once_forth_and_back(address, superuser):
    fill, key = LISTS[address]
    fill(ApplicationFactory(pk=1_000_000))
    reader = APIClient()
    reader.force_authenticate(superuser)
    number = MANY // 10 if fill is event_types else MANY

    forth, last = walk(reader, address, "next", key)
    back, _ = walk(reader, last, "previous", key)

    assert len(forth) == len(set(forth)) == number
    assert back == forth


def test_a_sessions_events_at_one_moment_are_each_shown_once(superuser):
    events(ApplicationFactory())
    Session.objects.create(session_id="mine", first_seen=NOON, last_seen=NOON, event_count=MANY)
    reader = APIClient()
    reader.force_authenticate(superuser)

    found, _ = walk(reader, "/sessions/mine/?page_size=100", "next", "id", "events")

    assert found == list(range(1, MANY + 1))


def walk(reader: APIClient, address: str, side: str, key: str, member: str = "results") -> tuple[list[object], str]:
    """Return the keys of all rows in the list's order, and the address of the last page."""
    found: list[object] = []
    while True:
        answer = reader.get(address)
        assert answer.status_code == 200, answer.content
        page = answer.json()
        rows = [row[key] for row in page[member]]
        found = found + rows if side == "next" else rows + found
        assert len(found) <= MANY
        if not page[side]:
            return found, address
        address = page[side]


@pytest.mark.parametrize("cursor", ["bm9uc2Vuc2U", "W10=", "NQ==", "e30=", "W3RydWUsICIyMDI2IiwgIngiXQ==",
                                    "W3RydWUsICIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJcdTAwMDAiXQ==",
                                    "W3RydWUsIG51bGwsIG51bGxd", "é"])  # fmt: skip
@pytest.mark.parametrize("address", ["/sessions/", "/applications/", "/notifications/"])
def test_an_invalid_cursor_is_not_found(address, cursor, superuser):
    reader = APIClient()
    reader.force_authenticate(superuser)

    assert reader.get(address, {"cursor": cursor}).status_code == 404
