"""Rejected events on screen: groups, a group, and what one does with it."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from events.admin import rejected
from events.factories import ApplicationFactory, EventTypeFactory, RejectedEventFactory
from events.models import Application, Event, RejectedEvent, RejectedMute, Replay
from events.rejected import replay as replaying
from projects.factories import ProjectFactory
from projects.models import Task

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/events/rejectedevent/"
RAW = b"""{"event_id": "%s", "session_id": "s1", "category": "page interaction", "name": "pageview",
 "data": {"host": "www.example.com", "price": "free"}, "timestamp": "2026-03-01T12:00:00Z"}"""


@pytest.fixture
def shop() -> Application:
    return ApplicationFactory(name="Shop")


def wrong(application: Application, pointer: str = "/data/price", **more) -> RejectedEvent:
    reasons = [{"code": "type", "pointer": pointer, "message": f"{pointer} is no number"}]
    return RejectedEventFactory(application=application, code="type", pointer=pointer, reasons=reasons, **more)


def right_by_now(application: Application, number: int) -> RejectedEvent:
    event_id = f"{number:08}-0000-4000-8000-000000000000"
    return wrong(application, event_id=event_id, raw=RAW % event_id.encode())


def key(application: Application, pointer: str = "/data/price") -> str:
    parts = {"application": application.pk, "category": "page interaction", "name": "pageview", "code": "type"}
    return urlencode({**parts, "pointer": pointer})


def text(client: Client, part: str = "") -> str:
    answer = client.get(ADDRESS + part)
    assert answer.status_code == 200
    return answer.content.decode()


# --- Groups -------------------------------------------------------------------------------------------
def test_what_shares_a_reason_is_one_group_with_its_count_and_its_sentence(as_viewer, shop):
    for _ in range(3):
        wrong(shop)
    wrong(shop, "/data/host")

    page = text(as_viewer)

    assert page.count('class="card rejected-group"') == 2
    assert page.index("/data/price is no number") < page.index("/data/host is no number")
    assert '<strong class="number">3</strong>' in page and page.count('<svg class="spark"') == 2


def test_groups_are_of_a_time_and_of_an_application(as_viewer, shop):
    wrong(shop, received_at=timezone.now() - timedelta(days=3))
    wrong(ApplicationFactory(), "/data/host")

    assert "/data/price" in text(as_viewer) and "/data/price" not in text(as_viewer, "?range=24h")
    assert "/data/host" not in text(as_viewer, f"?application={shop.pk}")


def test_muted_groups_take_no_place_from_others(as_viewer, shop, monkeypatch):
    monkeypatch.setattr("events.rejected.groups.MAX_GROUPS", 2)
    for number in range(3):
        for _ in range(2):
            wrong(shop, f"/data/muted-{number}")
        parts = {"category": "page interaction", "name": "pageview", "code": "type"}
        RejectedMute.objects.create(application=shop, **parts, pointer=f"/data/muted-{number}")
    wrong(shop)

    assert "/data/price" in text(as_viewer) and "2 muted groups" in text(as_viewer)
    told = as_viewer.get("/rejected-events/groups/").json()
    assert [(group["pointer"], group["muted"]) for group in told if not group["muted"]] == [("/data/price", False)]


def test_any_number_of_groups_takes_the_same_few_queries(as_viewer, shop, django_assert_max_num_queries):
    for number in range(30):
        wrong(shop, f"/data/{number}")

    with django_assert_max_num_queries(12):
        text(as_viewer)


def test_nothing_rejected_is_said_in_words(as_viewer):
    assert "Nothing was rejected" in text(as_viewer)


# --- One group ----------------------------------------------------------------------------------------
def test_a_group_shows_a_sample_with_the_place_marked_and_every_reason(as_viewer, shop):
    reasons = [
        {"code": "type", "pointer": "/data/price", "message": "no number"},
        {"code": "required", "pointer": "/data/path", "message": '"path" is missing'},
    ]
    RejectedEventFactory(application=shop, code="type", pointer="/data/price", reasons=reasons, raw=RAW % b"x")

    page = text(as_viewer, f"group/?{key(shop)}")

    assert re.search(r'<mark class="json-line">.*price.*free.*</mark>', page)
    assert "&quot;path&quot; is missing" in page


def test_a_groups_rows_come_page_by_page(as_viewer, shop):
    for number in range(70):
        wrong(shop, received_at=timezone.now() - timedelta(seconds=number))

    first = as_viewer.get(f"{ADDRESS}group/?{key(shop)}").context["page"]
    second = as_viewer.get(f"{ADDRESS}group/?{key(shop)}&cursor={first.next}").context["page"]

    assert (len(first.rows), len(second.rows)) == (50, 20)


@pytest.mark.parametrize("raw", [b"\x00\xff\xfe{", b"[" * 100_000, b'{"a": "\\ud800"}', b"", b"<script>", b"9" * 9999])
def test_whatever_was_sent_has_a_page(as_viewer, raw):
    row = RejectedEventFactory(raw=raw, event_id=None, code="json", pointer="")

    for part in (f"{row.pk}/change/", f"{row.pk}/beside/"):
        assert (
            "<script>" not in text(as_viewer, part).split('class="event"')[1].split("</main>")[0].split("<script ")[0]
        )


def test_a_group_that_is_empty_says_so(as_viewer, shop):
    assert "No events left" in text(as_viewer, f"group/?{key(shop)}")


# --- Replay -------------------------------------------------------------------------------------------
def test_a_group_whose_events_go_while_its_page_is_made_has_a_page(as_viewer, shop, monkeypatch):
    wrong(shop)
    read = rejected.page_at

    def read_and_lose(*args, **more):
        page = read(*args, **more)
        RejectedEvent.objects.all().delete()
        return page

    monkeypatch.setattr(rejected, "page_at", read_and_lose)

    assert "No event to show." in text(as_viewer, f"group/?{key(shop)}")


def test_a_replay_is_previewed_in_numbers_then_done_once(as_analyst, shop):
    for number in range(3):
        right_by_now(shop, number)
    EventTypeFactory(category="page interaction", name="pageview")

    asked = as_analyst.get(f"{ADDRESS}group/replay/?{key(shop)}").content.decode()
    assert not Replay.objects.exists() and "would be stored" in asked and '<dd class="is-good">3</dd>' in asked
    as_analyst.post(f"{ADDRESS}group/replay/?{key(shop)}")
    replay = Replay.objects.get()
    while replaying.replay_some(replay.pk):
        pass

    progress = text(as_analyst, f"replay/{replay.pk}/")
    assert Event.objects.count() == 3 and not RejectedEvent.objects.exists()
    assert "Replayed" in progress and "3 stored" in progress
    assert "Replayed" in text(as_analyst, f"group/?{key(shop)}")


def test_replaying_what_is_gone_is_refused_in_words(as_analyst, shop):
    page = as_analyst.post(f"{ADDRESS}group/replay/?{key(shop)}", follow=True).content.decode()

    assert "There are no such rejected events any more" in page and not Replay.objects.exists()


# --- Mute, delete, task -------------------------------------------------------------------------------
def test_a_muted_group_is_out_of_the_list_until_it_is_unmuted(as_analyst, shop):
    wrong(shop)

    asked = as_analyst.get(f"{ADDRESS}group/mute/?{key(shop)}").content.decode()
    for _ in range(2):  # two users answer the same question
        as_analyst.post(f"{ADDRESS}group/mute/?{key(shop)}", {"to": "muted"})
    assert RejectedMute.objects.count() == 1 and 'name="to" value="muted"' in asked
    assert "/data/price" not in text(as_analyst) and "1 muted group" in text(as_analyst)
    assert "/data/price" in text(as_analyst, "?muted=1")

    as_analyst.post(f"{ADDRESS}group/mute/?{key(shop)}")
    assert "/data/price" in text(as_analyst) and not RejectedMute.objects.exists()


def test_deleting_asks_with_the_number_and_takes_this_group_only(as_analyst, shop):
    for _ in range(3):
        wrong(shop)
    wrong(shop, "/data/host")

    asked = as_analyst.get(f"{ADDRESS}group/delete/?{key(shop)}").content.decode()
    assert "<strong>3</strong> events are deleted" in asked and RejectedEvent.objects.count() == 4
    as_analyst.post(f"{ADDRESS}group/delete/?{key(shop)}")

    assert list(RejectedEvent.objects.values_list("pointer", flat=True)) == ["/data/host"]


def test_a_task_says_what_is_wrong_and_leads_back(as_analyst, shop):
    wrong(shop)
    project = ProjectFactory()

    as_analyst.post(f"{ADDRESS}group/task/?{key(shop)}", {"project": project.pk, "title": "Mend the price"})

    task = Task.objects.get()
    assert (task.project, task.title) == (project, "Mend the price")
    assert "is no number" in task.description and f"http://testserver{ADDRESS}group/?" in task.description


def test_a_refused_task_keeps_what_was_typed(as_analyst, shop):
    wrong(shop)

    page = as_analyst.post(f"{ADDRESS}group/task/?{key(shop)}", {"project": "", "title": "Mend it"}).content.decode()

    assert "Choose a project." in page and 'value="Mend it"' in page


# --- Who may ------------------------------------------------------------------------------------------
VERBS = ["replay", "task", "mute", "delete"]


def test_a_viewer_looks_and_has_no_buttons(as_viewer, shop):
    wrong(shop)
    page = text(as_viewer, f"group/?{key(shop)}")

    assert 'id="verb-' not in page
    for verb in VERBS:
        assert as_viewer.post(f"{ADDRESS}group/{verb}/?{key(shop)}").status_code == 403


@pytest.mark.parametrize("part", ["", "live/", "group/", "group/rows/", "1/beside/", "1/change/", "replay/1/"])
def test_a_stranger_sees_nothing(as_stranger, part):
    assert as_stranger.get(ADDRESS + part).status_code == 403


@pytest.mark.parametrize("verb", VERBS)
def test_dialogs_are_posted_with_a_token_only(analyst, shop, verb):
    wrong(shop)
    client = Client(enforce_csrf_checks=True)
    client.force_login(analyst)

    asked = client.get(f"{ADDRESS}group/{verb}/?{key(shop)}", headers={"HX-Request": "true"})

    assert "csrfmiddlewaretoken" in asked.content.decode() and "<html" not in asked.content.decode()
    assert client.post(f"{ADDRESS}group/{verb}/?{key(shop)}").status_code == 403
