"""The list of broadcasts and the page of one: progress, rate, errors and actions."""

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chats import services
from chats.admin.broadcast_actions import ACTIONS
from chats.broadcasts.fanout import freeze, run, send_next_chunk
from chats.demo.fake import create_fake_chats
from chats.factories import BannerFactory, BroadcastFactory, ChatFactory
from chats.models import Broadcast, ListedUsers, Message

pytestmark = pytest.mark.django_db
LIST = "/admin/chats/broadcast/"


def page_of(broadcast: Broadcast) -> str:
    return f"{LIST}{broadcast.pk}/change/"


def verb(broadcast: Broadcast, name: str) -> str:
    return f"{LIST}{broadcast.pk}/{name}/"


def live(broadcast: Broadcast) -> str:
    return f"{LIST}{broadcast.pk}/live/"


def buttons(html: str) -> set[str]:
    """Return the actions that the page offers."""
    return set(re.findall(r'id="chats-(\w+)" class="button', html))


def words(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def text_of(response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


@pytest.fixture
def broadcast(marketer) -> Broadcast:
    """A broadcast to 200 chats, half of which have it."""
    create_fake_chats(200)
    broadcast = BroadcastFactory(text="Half way", created_by=marketer)
    freeze(broadcast, largest_chunk=100)
    broadcast.refresh_from_db()
    for _ in range(2):  # of four
        assert send_next_chunk(broadcast)
    broadcast.refresh_from_db()
    return broadcast


def sent(broadcast: Broadcast) -> Broadcast:
    run(broadcast, seconds=10)
    broadcast.refresh_from_db()
    return broadcast


# --- The list -----------------------------------------------------------------------------------


def test_the_list_shows_state_progress_and_who(as_marketer, broadcast):
    shown = text_of(as_marketer.get(LIST))

    assert "Half way" in shown
    assert "100 of 200" in shown
    assert "Sending" in shown
    assert "mara" in shown


def test_the_list_asks_as_often_for_many_rows_as_for_few(as_marketer, marketer):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert as_marketer.get(LIST).status_code == 200
        return len(asked)

    BroadcastFactory(created_by=marketer)
    BroadcastFactory(banner=BannerFactory(), banner_url="x", text="", created_by=marketer)
    few = queries()
    BroadcastFactory.create_batch(10, created_by=marketer)
    for _ in range(5):
        banner = BannerFactory()
        BroadcastFactory(banner=banner, banner_url=banner.source_url, text="", created_by=marketer)

    assert queries() == few


@pytest.mark.parametrize("query", ["?status=failed", "?audience=all&status=failed", "?q=nowhere+near", "?q=Wanted"])
def test_the_list_can_be_filtered_and_searched(as_marketer, query):
    BroadcastFactory(text="Other thing")
    BroadcastFactory(text="Wanted, and failed", failed=True)
    BroadcastFactory(text="nowhere near", failed=True)

    shown = text_of(as_marketer.get(LIST + query))

    assert "Other thing" not in shown
    assert ("Wanted" in shown) == ("nowhere" not in query)


def test_the_empty_list_says_what_belongs_there_and_offers_it(as_marketer):
    page = as_marketer.get(LIST).content.decode()

    assert "Nothing has been sent yet" in page
    assert f'href="{LIST}add/"' in page


def test_the_empty_list_offers_nothing_to_a_viewer(as_viewer):
    page = as_viewer.get(LIST).content.decode()

    assert "Nothing has been sent yet" in page
    assert f'href="{LIST}add/"' not in page


def test_a_row_that_moves_is_asked_for_until_it_is_sent(as_viewer, broadcast):
    cells = f"{LIST}{broadcast.pk}/cells/"
    listed = as_viewer.get(LIST).content.decode()
    moving = as_viewer.get(cells)
    sent(broadcast)
    finished = as_viewer.get(cells)

    assert f'hx-get="{cells}"' in listed
    assert "100 of 200" in text_of(moving) and "Sending" in text_of(moving)
    assert f'hx-get="{cells}"' in moving.content.decode()
    assert "200" in text_of(finished) and "Sent" in text_of(finished)
    assert "hx-get" not in finished.content.decode()


# --- The page -----------------------------------------------------------------------------------


def test_the_page_says_how_far_it_is(as_viewer, broadcast):
    shown = text_of(as_viewer.get(page_of(broadcast)))

    assert "100 of 200" in shown
    assert re.search(r"50\s*%", shown)
    assert "Half way" in shown
    assert "messages a second" in shown


def test_the_page_shows_who_did_what_and_when(as_marketer, marketer, broadcast):
    services.pause(broadcast=broadcast, actor=marketer)

    page = as_marketer.get(page_of(broadcast)).content.decode()
    steps = re.findall(r"<li>.*?</li>", page, re.S)
    shown = [" ".join(re.sub(r"<[^>]+>", " ", step).split()) for step in steps if "chats-steps__state" in step]

    assert "Paused" in shown[0] and "mara" in shown[0]
    assert "Sending" in shown[1] and "to 200 chats" in shown[1]


def test_a_moving_broadcast_is_shown_anew_when_something_happens(as_viewer, broadcast):
    response = as_viewer.get(live(broadcast))

    assert response.status_code == 200
    page = response.content.decode()
    assert f'data-live="broadcast:{broadcast.pk}"' in page
    assert 'hx-trigger="live, every 5s"' in page
    assert "<html" not in response.content.decode()


def test_the_asking_stops_when_it_is_sent(as_viewer, broadcast):
    sent(broadcast)

    response = as_viewer.get(live(broadcast))

    assert response.status_code == 200
    assert 'hx-trigger="live"' in response.content.decode()  # stays live, because another user may retract it
    assert "200 of 200" in text_of(response)


def test_the_live_part_costs_the_same_at_any_size(as_viewer, broadcast):
    sent(broadcast)

    with CaptureQueriesContext(connection) as asked:
        as_viewer.get(live(broadcast))

    assert len(asked) <= 8


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"status": "queued"}, "The picture has not been downloaded yet."),
        ({"failed": True}, "The picture was not downloaded."),
        ({"status": "cancelled", "finished_at": timezone.now()}, "The picture was not downloaded."),
    ],
)
def test_the_preview_without_a_picture_says_whether_one_will_come(as_viewer, state, words):
    broadcast = BroadcastFactory(text="", banner_url="http://pictures.example.com/1.jpeg", **state)

    assert words in as_viewer.get(page_of(broadcast)).content.decode()


def test_a_failure_is_told_in_words(as_viewer):
    broadcast = BroadcastFactory(failed=True, error="The banner could not be downloaded: it is a page.")

    shown = text_of(as_viewer.get(page_of(broadcast)))

    assert "The banner could not be downloaded: it is a page." in shown
    assert "Nothing was sent." in shown


@pytest.mark.parametrize(("useless", "sentence"), [(False, "is the next one again"), (True, "is skipped from now on")])
def test_a_failure_says_what_became_of_the_banner(as_viewer, useless, sentence):
    skipped = {"skipped_at": timezone.now(), "skip_reason": "not a picture"} if useless else {}
    banner = BannerFactory(**skipped)
    broadcast = BroadcastFactory(failed=True, text="", banner_url=banner.source_url)

    assert sentence in text_of(as_viewer.get(page_of(broadcast)))


@pytest.mark.parametrize(
    ("audience", "reason"), [("all", "chat deleted during the send"), ("listed", "no chat with this UUID")]
)
def test_the_skipped_have_a_reason(as_viewer, audience, reason):
    now = timezone.now()
    broadcast = BroadcastFactory(
        status="sent", audience=audience, audience_size=10, delivered=7, skipped=3, started_at=now, finished_at=now
    )

    shown = text_of(as_viewer.get(page_of(broadcast)))

    assert f"skipped: {reason}" in shown


def test_a_broadcast_that_no_worker_takes_up_says_so(as_viewer):
    broadcast = BroadcastFactory()
    step = broadcast.steps.create(verb="queued")
    broadcast.steps.filter(pk=step.pk).update(at=timezone.now() - timedelta(minutes=1))

    assert "No worker has started this broadcast yet" in text_of(as_viewer.get(page_of(broadcast)))


def test_a_text_cannot_become_markup(as_viewer):
    broadcast = BroadcastFactory(text="<script>alert(1)</script>")

    for address in (LIST, page_of(broadcast)):
        assert "<script>alert(1)" not in as_viewer.get(address).content.decode()


def test_there_is_nothing_at_the_address_of_no_broadcast(as_marketer):
    assert as_marketer.get(f"{LIST}999999/live/").status_code == 404
    assert as_marketer.get(f"{LIST}999999/change/").status_code == 404


def test_its_history_can_be_read_and_not_reverted(as_marketer, broadcast):
    page = as_marketer.get(f"{LIST}{broadcast.pk}/history/")
    record = broadcast.history.first()
    form = as_marketer.post(f"{LIST}{broadcast.pk}/history/{record.pk}/", {"text": "Rewritten"})

    broadcast.refresh_from_db()
    assert page.status_code == 200
    assert form.status_code == 403
    assert broadcast.text == "Half way"


# --- The buttons --------------------------------------------------------------------------------


def test_the_buttons_fit_the_state(as_marketer, marketer, broadcast):
    def offered() -> set[str]:
        return buttons(as_marketer.get(live(broadcast)).content.decode())

    assert offered() == {"pause", "cancel"}
    services.pause(broadcast=broadcast, actor=marketer)
    assert offered() == {"resume", "retract", "cancel"}
    services.resume(broadcast=broadcast, actor=marketer)
    sent(broadcast)
    assert offered() == {"retract"}
    services.retract(broadcast=broadcast, actor=marketer)
    assert offered() == {"restore"}
    assert buttons(as_marketer.get(page_of(BroadcastFactory(failed=True))).content.decode()) == {"retry", "delete"}
    assert buttons(as_marketer.get(page_of(BroadcastFactory(scheduled=True))).content.decode()) == {
        "edit", "cancel", "delete",
    }  # fmt: skip


def test_a_viewer_has_no_buttons(as_viewer, broadcast):
    assert buttons(as_viewer.get(page_of(broadcast)).content.decode()) == set()


CONSEQUENCES = {
    "pause": "100 chats already have it, about 100 wait",
    "cancel": "About 100 chats will not get it. The 100 that have it keep it",
    "retract": "Hides it from 100 chats at once",
}


@pytest.mark.parametrize("name", CONSEQUENCES)
def test_the_confirmation_has_the_consequence_in_numbers(as_marketer, marketer, broadcast, name):
    if name == "retract":
        services.pause(broadcast=broadcast, actor=marketer)

    in_dialog = text_of(as_marketer.get(verb(broadcast, name), headers={"HX-Request": "true"}))
    as_page = text_of(as_marketer.get(verb(broadcast, name)))

    assert CONSEQUENCES[name] in in_dialog
    assert CONSEQUENCES[name] in as_page


@pytest.mark.parametrize("name", ACTIONS)
def test_asking_for_a_confirmation_changes_nothing(as_marketer, broadcast, name):
    before = Broadcast.objects.filter(pk=broadcast.pk).values().get()

    as_marketer.get(verb(broadcast, name))

    assert Broadcast.objects.filter(pk=broadcast.pk).values().get() == before


def test_it_is_paused_resumed_retracted_restored_and_cancelled(as_marketer, marketer, broadcast):
    states = []
    for name in ("pause", "resume", "pause", "retract", "restore", "cancel"):
        response = as_marketer.post(verb(broadcast, name))
        assert response["Location"] == page_of(broadcast)
        broadcast.refresh_from_db()
        states.append("retracted" if broadcast.retracted_at else broadcast.status)

    assert states == ["paused", "sending", "paused", "retracted", "paused", "cancelled"]
    assert set(broadcast.steps.exclude(note="to 200 chats").values_list("actor", flat=True)) == {marketer.pk}


def test_a_retracted_broadcast_is_gone_from_the_chats(as_marketer, broadcast):
    sent(broadcast)

    as_marketer.post(verb(broadcast, "retract"))

    assert Message.objects.visible().count() == 0


def test_a_failed_broadcast_is_tried_again(as_marketer):
    broadcast = BroadcastFactory(failed=True)

    as_marketer.post(verb(broadcast, "retry"))

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.error) == ("queued", "")


def test_a_confirmed_dialog_reloads_the_whole_page(as_marketer, broadcast):
    response = as_marketer.post(verb(broadcast, "pause"), headers={"HX-Request": "true"})

    assert response["HX-Redirect"] == page_of(broadcast)


def test_what_cannot_be_done_any_more_is_one_clear_message(as_marketer, broadcast):
    sent(broadcast)

    response = as_marketer.post(verb(broadcast, "cancel"))

    assert words(response) == [f"Broadcast {broadcast.pk} is sent and cannot be cancelled now."]


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("who", ["as_viewer", "as_stranger"])
def test_nobody_else_may_press_the_buttons(request, broadcast, who, name):
    client = request.getfixturevalue(who)

    assert client.get(verb(broadcast, name)).status_code == 403
    assert client.post(verb(broadcast, name)).status_code == 403
    broadcast.refresh_from_db()
    assert broadcast.status == "sending"


def test_a_press_without_the_csrf_token_is_forbidden(marketer, broadcast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(marketer)

    assert client.post(verb(broadcast, "cancel")).status_code == 403


@pytest.mark.parametrize("path", ["change", "live", "history"])
def test_a_stranger_sees_nothing(as_stranger, broadcast, path):
    assert as_stranger.get(f"{LIST}{broadcast.pk}/{path}/").status_code == 403


def test_who_is_not_signed_in_is_asked_to(client, broadcast):
    assert client.get(live(broadcast)).status_code == 302


@pytest.mark.parametrize("path", ["change", "delete"])
def test_a_broadcast_is_never_saved_or_deleted_by_a_form(as_superuser, path):
    broadcast = BroadcastFactory(text="Mine")
    ChatFactory()

    as_superuser.post(f"{LIST}{broadcast.pk}/{path}/", {"text": "Forged", "post": "yes"})

    broadcast.refresh_from_db()
    assert broadcast.text == "Mine"


@pytest.mark.parametrize(
    ("fields", "moves"),
    [
        ({"scheduled": True}, True),
        ({"status": "paused"}, True),
        ({"failed": True}, True),
        ({}, True),
        ({"status": "cancelled", "finished_at": timezone.now()}, False),
    ],
)
def test_a_row_of_the_list_moves_while_its_state_can_change(as_marketer, fields, moves):
    broadcast = BroadcastFactory(**fields)

    page = as_marketer.get(LIST).content.decode()

    assert (f'data-live="broadcast:{broadcast.pk}"' in page) is moves


def test_a_list_of_users_is_counted_once_for_all_who_watch(as_marketer, as_superuser, marketer):
    broadcast = services.compose(actor=marketer, text="Hello", audience=ListedUsers([uuid4(), uuid4()]))

    with CaptureQueriesContext(connection) as asked:
        for client in (as_marketer, as_superuser, as_marketer):
            assert "2 listed users" in text_of(client.get(live(broadcast)))

    assert sum("chats_recipient" in query["sql"] for query in asked) == 1
