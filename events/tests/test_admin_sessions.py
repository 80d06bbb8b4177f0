"""Sessions: the list, and what one visitor did."""

from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission

from events.admin.widgets.formatting import duration
from events.factories import ApplicationFactory, EventFactory
from events.models import Event, Session

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/events/session/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def session_of(session_id: str, *events: Event) -> Session:
    moments = [event.timestamp for event in events] or [NOON]
    return Session.objects.create(
        session_id=session_id, first_seen=min(moments), last_seen=max(moments), event_count=len(events)
    )


@pytest.fixture
def visit() -> Session:
    shop = ApplicationFactory()
    events = [
        EventFactory(application=shop, session_id="visit-1", name=name, timestamp=NOON + timedelta(seconds=seconds))
        for name, seconds in (("pageview", 0), ("cta click", 2.5), ("pageview", 3600))
    ]
    return session_of("visit-1", *events)


def page(client, session_id: str, query: str = "") -> str:
    answer = client.get(f"{ADDRESS}{quote(session_id, safe='')}/change/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_sessions_events_come_in_order_with_the_time_between_them(as_viewer, visit):
    text = page(as_viewer, "visit-1")

    assert text.count('<li class="moment') == 3
    assert "2.5 s later" in text and "59 min 57 s later" in text and "1 h" in text
    assert text.index("cta click</strong>") < text.rindex("pageview</strong>")


def test_a_type_is_filtered_and_the_pauses_are_between_what_is_shown(as_viewer, visit):
    text = page(as_viewer, "visit-1", "?category=page+interaction&name=pageview")

    assert text.count('<li class="moment') == 2 and "1 h later" in text


def test_a_long_session_goes_on_on_the_next_page(as_viewer, visit, monkeypatch):
    monkeypatch.setattr("events.admin.sessions.PAGE", 2)
    first = as_viewer.get(f"{ADDRESS}visit-1/change/").context

    second = as_viewer.get(f"{ADDRESS}visit-1/change/", {"cursor": first["page"].next}).context

    assert [moment.event.name for moment in second["entries"]] == ["pageview"] and not second["page"].next
    assert second["entries"][0].pause == "59 min 57 s"


def test_events_that_are_not_counted_yet_have_a_page(as_viewer):
    EventFactory(session_id="fresh")

    assert "pageview" in page(as_viewer, "fresh")


@pytest.mark.parametrize("session_id", ["a/b", "../x", "50% & \"'<b>", "šašek_\U0001f600", "a_5Fb", "?x=1#y"])
def test_any_id_can_be_opened_from_the_list(as_viewer, session_id):
    session_of(session_id, EventFactory(session_id=session_id))

    listed = as_viewer.get(ADDRESS).content.decode()
    address = listed.split("field-id_link")[-1].split(f'href="{ADDRESS}')[1].split('"')[0]

    assert as_viewer.get(ADDRESS + unescape(address)).context["session_id"] == session_id


def test_the_list_is_newest_first_and_searched_by_how_an_id_begins(as_viewer):
    for number, name in enumerate(["abc-1", "abc-2", "xyz"]):
        Session.objects.create(
            session_id=name, first_seen=NOON, last_seen=NOON + timedelta(minutes=number), event_count=1
        )

    listed = as_viewer.get(ADDRESS).content.decode()
    found = as_viewer.get(ADDRESS, {"q": "abc"}).content.decode()

    assert listed.index("xyz") < listed.index("abc-2") < listed.index("abc-1")
    assert "abc-1" in found and "xyz" not in found


def test_an_empty_list_and_a_search_for_nothing_say_so(as_viewer):
    assert "No sessions yet" in as_viewer.get(ADDRESS).content.decode()
    assert "No session’s id begins with" in as_viewer.get(ADDRESS, {"q": "zz"}).content.decode()


def test_the_list_takes_the_same_few_queries_for_any_number(as_viewer, django_assert_max_num_queries):
    for number in range(30):
        session_of(f"session-{number}")

    with django_assert_max_num_queries(9):
        as_viewer.get(ADDRESS)


def test_nobody_writes_sessions_and_a_stranger_sees_none(as_superuser, as_stranger, visit):
    assert as_superuser.get(f"{ADDRESS}add/").status_code == 403
    assert as_superuser.post(f"{ADDRESS}visit-1/delete/", {"post": "yes"}).status_code == 403
    assert as_stranger.get(f"{ADDRESS}visit-1/change/").status_code == 403


def test_a_sessions_events_are_shown_to_whoever_may_see_events(client, django_user_model, visit):
    user = django_user_model.objects.create_user("erik", is_staff=True)
    user.user_permissions.add(Permission.objects.get(content_type__app_label="events", codename="view_session"))
    client.force_login(user)

    text = page(client, "visit-1")

    assert "may not see its events" in text and "cta click" not in text and "59 min" not in text
    assert client.get("/sessions/").status_code == 200 and client.get("/sessions/visit-1/").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_event"))
    assert "cta click" in page(client, "visit-1") and client.get("/sessions/visit-1/").status_code == 200


def test_a_session_that_never_was_is_not_found(as_viewer):
    assert as_viewer.get(f"{ADDRESS}nobody/change/").status_code == 404


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "–"), (0.02, "20 ms"), (2.54, "2.5 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")],
)
def test_how_long_is_said_in_words(seconds, words):
    assert duration(timedelta(seconds=seconds)) == words
