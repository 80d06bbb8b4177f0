"""The front page: progress by role, with a bounded number of queries."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chats.factories import BroadcastFactory, ChatFactory
from chats.models import Chunk
from config import dashboard
from config.monitoring.health import Part
from events.factories import ApplicationFactory
from events.models import Minute
from testrunner.factories import RunFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _healthy(monkeypatch) -> None:
    found = [Part("database", True, "answers"), Part("worker", True, "last heard of 2 s ago", 2.0)]
    monkeypatch.setattr(dashboard, "parts", lambda: found)


def sending(**more: object) -> object:
    return BroadcastFactory(
        status="sending", audience_size=1_000_000, delivered=412_000, started_at=timezone.now(), **more
    )  # fmt: skip


def card(client: Client, name: str) -> str:
    return client.get(f"/admin/front-page/{name}/").content.decode()


def test_a_broadcast_under_way_has_its_bar_and_its_count(as_viewer):
    sending(text="Autumn sale")

    page = as_viewer.get("/admin/").content.decode()

    assert "Autumn sale" in page
    assert "412,000 of 1,000,000" in page
    assert 'aria-valuenow="41"' in page


@pytest.mark.parametrize(("status", "seconds"), [("sending", 2), ("paused", 10), (None, 10)])
def test_a_card_asks_again_often_while_something_moves_and_seldom_else(as_viewer, status, seconds):
    if status:
        BroadcastFactory(status=status, audience_size=10, started_at=timezone.now())

    assert f"every {seconds}s" in card(as_viewer, "moving")


def test_what_is_being_sent_comes_before_what_waits(as_viewer):
    sending(text="now under way")
    BroadcastFactory(scheduled=True, text="not before tomorrow")

    shown = card(as_viewer, "moving")

    assert shown.index("now under way") < shown.index("not before tomorrow")


def test_a_failed_broadcast_says_why(as_viewer):
    BroadcastFactory(failed=True, error="The banner API does not answer.")

    assert "The banner API does not answer." in card(as_viewer, "recent")


def test_the_last_day_is_counted_from_finished_ranges(as_viewer):
    broadcast = sending()
    days = [timezone.now(), timezone.now() - timezone.timedelta(days=2)]
    for number, done_at in enumerate(days):
        counted = {"size": 1_234, "delivered": 1_234, "skipped": 0, "done_at": done_at}
        Chunk.objects.create(broadcast=broadcast, number=number, first_id=1, last_id=9, **counted)
    ChatFactory.create_batch(3)

    shown = card(as_viewer, "figures")

    assert "<dd>1,234</dd>" in shown
    assert re.search(r"chats</dt><dd><a[^>]*>3</a>", shown)


def test_the_page_does_not_wait_for_the_parts_of_the_house(as_viewer, monkeypatch):
    monkeypatch.setattr(dashboard, "parts", lambda: pytest.fail("asked while the page is built"))

    page = as_viewer.get("/admin/").content.decode()

    assert 'hx-get="/admin/front-page/health/"' in page


def test_the_health_card_names_what_is_away(as_viewer, monkeypatch):
    monkeypatch.setattr(dashboard, "parts", lambda: [Part("broker", False, "does not answer (TimeoutError)")])

    shown = card(as_viewer, "health")

    assert "Broker" in shown and "does not answer (TimeoutError)" in shown
    assert "Degraded" in shown and shown.count("Down") == 1


def test_a_marketer_gets_the_buttons_a_viewer_does_not(as_marketer, as_viewer):
    for title in ("Send banner", "New broadcast"):
        assert title in as_marketer.get("/admin/").content.decode()
        assert title not in as_viewer.get("/admin/").content.decode()


def test_who_may_see_nothing_is_shown_nothing(as_stranger):
    sending(text="Secret plan")

    assert "Secret plan" not in as_stranger.get("/admin/").content.decode()
    assert [card(as_stranger, name) for name in ("moving", "recent", "figures")] == ["", "", ""]


def test_a_card_that_does_not_exist_is_not_found(as_viewer):
    assert as_viewer.get("/admin/front-page/nonsense/").status_code == 404


def test_a_page_whose_session_has_ended_reloads_itself_into_the_login():
    answer = Client().get("/admin/front-page/moving/")

    assert answer.status_code == 401
    assert answer.headers["HX-Refresh"] == "true"
    assert answer.content == b""


def test_the_page_takes_as_many_queries_for_many_broadcasts_as_for_one(as_viewer):
    sending()
    as_viewer.get("/admin/")
    with CaptureQueriesContext(connection) as for_one:
        as_viewer.get("/admin/")
    for _ in range(10):
        sending()
        BroadcastFactory(failed=True)

    with CaptureQueriesContext(connection) as for_many:
        as_viewer.get("/admin/")

    assert len(for_many) == len(for_one)


def test_events_a_minute_and_the_rejected_share_are_for_those_who_may_see_events(as_viewer, as_marketer):
    minute = timezone.now().replace(second=0, microsecond=0)
    Minute.objects.create(minute=minute, application=ApplicationFactory(), events=2_700, rejected=180)

    page = card(as_viewer, "events")

    assert "2 a minute" in page and "2,700 events" in page and "180 rejected, 6.3" in page
    assert card(as_marketer, "events") == ""


def test_a_day_without_events_is_said_in_words(as_viewer):
    assert "No events in the last 24 hours" in card(as_viewer, "events")


def test_the_hundred_environments_are_tiles_with_their_state_in_words(as_viewer):
    RunFactory(running=True, environment_id=17, requested_by="the night shift")
    RunFactory(environment_id=17)

    shown = card(as_viewer, "environments")

    assert shown.count('class="mini mini--') == 100
    assert 'title="Environment 17: busy, the night shift, 1 waiting"' in shown
    assert "99 free" in shown and "1 busy" in shown and "1 run waiting" in shown


def test_a_tester_gets_a_button_to_start_a_run(as_tester, as_viewer):
    assert "New run" in as_tester.get("/admin/").content.decode()
    assert "New run" not in as_viewer.get("/admin/").content.decode()
