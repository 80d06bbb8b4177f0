"""Compose: content, audience and time, a preview with the exact count, and no lost input."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.zones import choose_zone
from chats import services
from chats.broadcasts import drafts
from chats.broadcasts.user_list import read_list
from chats.factories import BroadcastFactory, ChatFactory
from chats.models import Broadcast
from chats.tests.banner_list import png
from core.storage_failure import StorageFailure

pytestmark = pytest.mark.django_db
PAGE = "/admin/chats/broadcast/add/"
NEXT_CENTURY = datetime(2998, 3, 1, 9, tzinfo=UTC)


def form(**more) -> dict[str, object]:
    base = {"text": "Hello", "audience": "all", "when": "now", "zone": "UTC", "request_key": str(uuid4())}
    return {**base, "step": "preview", **more}


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def shown(client: Client, data: dict[str, object], address: str = PAGE):
    """Submit the form. Return the page that the browser then shows: the preview, or the form again."""
    return client.post(address, data, follow=True)


def hidden(response, name: str) -> str:
    return re.search(rf'name="{name}" value="([^"]*)"', response.content.decode())[1]


def going_on(response, step: str) -> dict[str, str]:
    """Return what the preview's form submits for this button."""
    names = ("request_key", "version", "zone", "picture_kept", "audience", "users_kept", "when", "send_at")
    text = re.search(r'<textarea name="text" hidden>\n(.*?)</textarea>', response.content.decode(), re.S)[1]
    return {**{name: hidden(response, name) for name in names}, "text": text, "step": step}


def back_of(preview) -> str:
    return PAGE + unescape(re.search(r'href="(\?edit=[^"]+)"', preview.content.decode())[1])


# --- Content ------------------------------------------------------------------------------------


def test_a_preview_shows_the_message_and_the_exact_number_and_sends_nothing(as_marketer):
    ChatFactory.create_batch(3)

    preview = shown(as_marketer, form(text="See you <there>"))

    assert "See you &lt;there&gt;" in preview.content.decode()
    assert "Send to 3 chats" in text_of(preview)
    assert not Broadcast.objects.exists()


def test_the_preview_has_an_address_that_can_be_loaded_again(as_marketer):
    ChatFactory()

    answer = as_marketer.post(PAGE, form(text="Look", picture_file=upload("a.png", png())))
    first, again = (as_marketer.get(answer["Location"]) for _ in range(2))

    assert answer.status_code == 302
    assert first.status_code == 200 and "Send to 1 chat" in text_of(first)
    assert going_on(first, "send") == going_on(again, "send")
    assert not Broadcast.objects.exists()


def test_the_preview_counts_anew_when_it_is_loaded_again(as_marketer):
    ChatFactory()
    address = as_marketer.post(PAGE, form())["Location"]

    ChatFactory()

    assert "Send to 2 chats" in text_of(as_marketer.get(address))


def test_a_preview_is_its_users_own(as_marketer, as_superuser):
    address = as_superuser.post(PAGE, form(text="Secret"))["Location"]

    page = as_marketer.get(address, follow=True)

    assert "older than a day" in text_of(page) and "Secret" not in page.content.decode()


def test_a_preview_whose_time_has_passed_shows_the_form_with_the_reason(as_marketer, monkeypatch):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    address = as_marketer.post(PAGE, form(text="Kept", when="later", send_at=soon))["Location"]
    later = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr("chats.admin.compose_form.timezone.now", lambda: later)

    page = as_marketer.get(address)

    assert "This time has passed." in text_of(page) and "Kept" in page.content.decode()


def test_a_preview_that_cannot_be_stored_keeps_what_was_typed(as_marketer, monkeypatch):
    def full(*args, **kwargs):
        raise StorageFailure("The storage is full.")

    monkeypatch.setattr(drafts, "keep_form", full)

    page = shown(as_marketer, form(text="Mine"))

    assert "The preview could not be stored. The storage is full." in text_of(page) and "Mine" in page.content.decode()


def test_the_preview_sends_what_it_shows(as_marketer, marketer):
    ChatFactory()
    preview = shown(as_marketer, form(text="Two\nlines", picture_file=upload("a.png", png())))

    response = as_marketer.post(PAGE, going_on(preview, "send"))

    broadcast = Broadcast.objects.get()
    assert response["Location"] == f"/admin/chats/broadcast/{broadcast.pk}/change/"
    assert (broadcast.text, broadcast.audience, broadcast.status) == ("Two\nlines", "all", "queued")
    assert broadcast.created_by == marketer
    assert broadcast.image.name.startswith("messages/")
    with broadcast.image.open() as file:
        assert file.read()[8:12] == b"WEBP"


def test_a_double_click_sends_once(as_marketer):
    ChatFactory()
    send = going_on(shown(as_marketer, form()), "send")

    first, second = (as_marketer.post(PAGE, send) for _ in range(2))

    assert first["Location"] == second["Location"]
    assert Broadcast.objects.count() == 1


def test_the_same_form_sent_again_with_another_text_is_another_broadcast(as_marketer):
    ChatFactory()
    send = going_on(shown(as_marketer, form()), "send")

    as_marketer.post(PAGE, send)
    as_marketer.post(PAGE, {**send, "text": "Corrected"})

    assert set(Broadcast.objects.values_list("text", flat=True)) == {"Hello", "Corrected"}


def test_nothing_at_all_is_refused_beside_its_field(as_marketer):
    page = shown(as_marketer, form(text="  "))

    assert "Write a text or add a picture." in text_of(page)
    assert 'aria-describedby="error_text"' in page.content.decode()


def test_a_long_text_counts_an_end_of_line_once(as_marketer):
    fits = "a\r\n" * 2000
    too_long = fits + "a"

    assert "As the user sees it" in text_of(shown(as_marketer, form(text=fits)))
    assert "at most 4000" in text_of(shown(as_marketer, form(text=too_long)))


def test_what_is_no_picture_is_refused_in_words_and_the_text_is_kept(as_marketer):
    page = shown(as_marketer, form(text="Keep me", picture_file=upload("a.png", b"<svg/>")))

    assert "Keep me" in page.content.decode()
    assert re.search(r'id="error_picture_file">.*\w+', page.content.decode(), re.S)
    assert not Broadcast.objects.exists()


def test_a_picture_survives_the_refusal_of_something_else(as_marketer):
    ChatFactory()
    refused = shown(as_marketer, form(when="later", picture_file=upload("a.png", png())))
    kept = hidden(refused, "picture_kept")

    preview = shown(as_marketer, form(picture_kept=kept))
    as_marketer.post(PAGE, going_on(preview, "send"))

    assert "Enter a day and a time." in text_of(refused)
    assert Broadcast.objects.get().image


@pytest.mark.parametrize("forged", ["messages/x.webp", "../../etc/passwd", "x:y:z"])
def test_a_forged_reference_to_a_picture_is_refused(as_marketer, forged):
    page = shown(as_marketer, form(picture_kept=forged))

    assert "Please choose it again." in text_of(page)


def test_somebody_elses_picture_is_not_mine(as_marketer, as_superuser):
    theirs = hidden(shown(as_superuser, form(picture_file=upload("a.png", png()))), "picture_kept")

    assert "Please choose it again." in text_of(shown(as_marketer, form(picture_kept=theirs)))


# --- Audience -----------------------------------------------------------------------------------


def test_a_pasted_list_is_counted_exactly(as_marketer):
    with_chat = [str(ChatFactory().user_uuid) for _ in range(3)]
    lines = [*with_chat, with_chat[0], str(uuid4()), "not a uuid", "", "neither"]

    preview = shown(as_marketer, form(audience="listed", users="\n".join(lines)))
    words = text_of(preview)

    assert "Send to 3 chats" in words
    assert "4 different users listed" in words
    assert "1 without a chat" in words
    assert "2 lines without a UUID, ignored: not a uuid , neither" in words


def test_a_list_is_sent_to_those_on_it(as_marketer):
    uuids = {ChatFactory().user_uuid for _ in range(2)}
    ChatFactory()
    users = upload("users.csv", b"user_uuid,name\n" + "\n".join(f"{uuid},x" for uuid in uuids).encode())

    preview = shown(as_marketer, form(audience="listed", users_file=users))
    as_marketer.post(PAGE, going_on(preview, "send"))

    broadcast = Broadcast.objects.get()
    assert broadcast.audience == "listed"
    assert set(broadcast.recipients.values_list("user_uuid", flat=True)) == uuids


def test_going_back_keeps_all_that_was_typed(as_marketer):
    user = str(ChatFactory().user_uuid)
    late = {"when": "later", "send_at": "2999-01-01T10:00"}
    picture = upload("a.png", png())
    preview = shown(as_marketer, form(text="Mine", audience="listed", users=user, picture_file=picture, **late))

    back = as_marketer.get(back_of(preview)).content.decode()

    assert ">\nMine</textarea>" in back
    assert f">\n{user}</textarea>" in back
    assert 'value="2999-01-01T10:00"' in back
    assert re.search(r'value="listed" checked', back)
    assert re.search(r'name="picture_kept" value="\S+"', back)
    assert 'role="alert"' not in back


def test_going_back_keeps_the_file(as_marketer):
    users = upload("friends.txt", str(ChatFactory().user_uuid).encode())
    preview = shown(as_marketer, form(audience="listed", users_file=users))

    back = as_marketer.get(back_of(preview))

    assert "friends.txt is kept" in text_of(back)


@pytest.mark.parametrize(
    ("users", "sentence"),
    [("", "Paste the UUIDs"), ("nobody\nat all", "There is no UUID in this list.")],
)
def test_a_list_of_nobody_is_refused(as_marketer, users, sentence):
    assert sentence in text_of(shown(as_marketer, form(audience="listed", users=users)))


def test_a_list_that_is_too_long_is_refused(as_marketer, monkeypatch):
    monkeypatch.setattr("chats.models.ListedUsers.MAX_USERS", 2)
    users = "\n".join(str(uuid4()) for _ in range(3))

    page = shown(as_marketer, form(audience="listed", users=users))

    assert "this list has 3" in text_of(page)
    assert users.splitlines()[0] in page.content.decode()


def test_nobody_with_a_chat_cannot_be_sent_to(as_marketer):
    page = shown(as_marketer, form(audience="listed", users=str(uuid4())))

    assert "none of these users has a chat" in text_of(page)
    assert re.search(r'value="send"[^>]*disabled', page.content.decode())


def test_selected_chats_become_the_list(as_marketer):
    chats = ChatFactory.create_batch(2)
    ChatFactory()

    chosen = as_marketer.post(
        "/admin/chats/chat/", {"action": "compose_to_selected", "_selected_action": [chat.pk for chat in chats]}
    )
    page = as_marketer.get(as_marketer.get(chosen["Location"])["Location"]).content.decode()

    assert re.search(r'value="listed" checked', page)
    assert all(str(chat.user_uuid) in page for chat in chats)


def test_a_list_is_read_from_anything_with_uuids_in_it():
    one, two = uuid4(), uuid4()

    listed = read_list(f"\ufeffuser_uuid;name\n{one};Ann\n{two.hex}\n\n{str(one).upper()}\nrubbish\n{{{two}}}")

    assert listed.user_uuids == [one, two]
    assert (listed.repeated, listed.unusable, listed.examples) == (2, 1, ["rubbish"])


# --- Time ---------------------------------------------------------------------------------------


def test_a_time_is_meant_on_the_viewers_clock(as_marketer):
    ChatFactory()
    preview = shown(as_marketer, form(when="later", send_at="2999-07-01T10:00", zone="Europe/Berlin"))
    as_marketer.post(PAGE, going_on(preview, "send"))

    broadcast = Broadcast.objects.get()
    assert broadcast.status == "scheduled"
    assert broadcast.send_at == datetime(2999, 7, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["", "Nowhere/At_All", "../../etc/passwd"])
def test_without_a_known_zone_the_time_is_utc(as_marketer, zone):
    preview = shown(as_marketer, form(when="later", send_at="2999-07-01T10:00", zone=zone))

    assert 'datetime="2999-07-01T10:00:00.000+00:00"' in preview.content.decode()


@pytest.mark.parametrize(
    ("send_at", "sentence"),
    [
        ("", "Enter a day and a time."),
        ("2001-01-01T10:00", "This time has passed."),
        ("soon", "Enter a valid date/time."),
        ("2032-03-28T02:30", "this time does not exist"),
    ],
)
def test_an_impossible_time_is_refused_in_words(as_marketer, send_at, sentence):
    page = shown(as_marketer, form(when="later", send_at=send_at, zone="Europe/Berlin"))

    assert sentence in text_of(page)
    assert "Hello" in page.content.decode()


def test_a_time_in_the_repeated_hour_is_chosen_and_does_not_move_when_it_is_edited(as_marketer, marketer):
    choose_zone(user=marketer, name="Europe/Berlin")
    ChatFactory()
    late = form(when="later", send_at="2032-10-31T02:30", zone="Europe/Berlin")

    asked = shown(as_marketer, late)
    preview = shown(as_marketer, late | {"send_at_offset": "+01:00"})
    as_marketer.post(PAGE, going_on(preview, "send"))

    broadcast = Broadcast.objects.get()
    assert "occurs twice" in text_of(asked) and "Second: CET" in text_of(asked)
    assert "02:30 CET" in text_of(preview)
    assert broadcast.send_at == datetime(2032, 10, 31, 1, 30, tzinfo=UTC)
    opened = as_marketer.get(f"/admin/chats/broadcast/{broadcast.pk}/edit/").content.decode()
    assert 'value="2032-10-31T02:30"' in opened and '<option value="+01:00" selected>' in opened


# --- Changing a scheduled one -------------------------------------------------------------------


def test_a_scheduled_broadcast_is_changed(as_marketer, marketer):
    ChatFactory()
    broadcast = BroadcastFactory(scheduled=True, text="Before")
    address = f"/admin/chats/broadcast/{broadcast.pk}/edit/"
    opened = as_marketer.get(address)

    changed = form(text="After", when="later", send_at="2999-01-01T10:00", picture_file=upload("a.png", png()))
    preview = shown(as_marketer, changed, address)
    as_marketer.post(address, going_on(preview, "send"))

    broadcast.refresh_from_db()
    assert "Before" in opened.content.decode()
    assert (broadcast.text, broadcast.status) == ("After", "scheduled")
    assert broadcast.send_at == datetime(2999, 1, 1, 10, tzinfo=UTC)
    assert broadcast.image
    assert broadcast.steps.last().verb == "changed"
    assert broadcast.steps.last().actor == marketer
    assert Broadcast.objects.count() == 1


def test_a_change_that_another_editor_has_not_seen_is_not_lost(as_marketer, as_superuser, marketer):
    broadcast = BroadcastFactory(scheduled=True, text="Befor")
    services.update_scheduled(broadcast=broadcast, actor=None, text="Befor", image=None, send_at=NEXT_CENTURY)
    address = f"/admin/chats/broadcast/{broadcast.pk}/edit/"
    opened = as_superuser.get(address)
    seen = {"version": opened.context["version"]}
    services.update_scheduled(broadcast=broadcast, actor=marketer, text="Not yet", image=None, send_at=NEXT_CENTURY)

    corrected = form(text="Before", when="later", send_at="2999-01-01T10:00", **seen)
    preview = shown(as_superuser, corrected, address)
    refused = as_superuser.post(address, going_on(preview, "send"))

    broadcast.refresh_from_db()
    page = refused.content.decode()
    assert (broadcast.text, broadcast.send_at) == ("Not yet", NEXT_CENTURY)
    assert "mara changed this broadcast meanwhile" in page and "“Not yet”" in page and "1 Mar 2998, 09:00 UTC" in page
    assert ">Before</textarea>" in page.replace("\n", "")  # the submitted text

    again = shown(as_superuser, corrected | {"version": refused.context["version"]}, address)
    as_superuser.post(address, going_on(again, "send"))

    broadcast.refresh_from_db()
    assert broadcast.text == "Before"


def test_what_has_gone_out_is_not_changed(as_marketer):
    broadcast = BroadcastFactory(text="Before")

    response = as_marketer.post(f"/admin/chats/broadcast/{broadcast.pk}/edit/", form(text="After", step="send"))

    broadcast.refresh_from_db()
    assert broadcast.text == "Before"
    assert "cannot be changed any more" in str(next(iter(get_messages(response.wsgi_request))))


# --- Permissions --------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["as_viewer", "as_stranger"])
def test_nobody_else_may_compose(request, who):
    client = request.getfixturevalue(who)
    scheduled = BroadcastFactory(scheduled=True)

    for address in (PAGE, f"/admin/chats/broadcast/{scheduled.pk}/edit/"):
        assert client.get(address).status_code == 403
        assert client.post(address, form(step="send")).status_code == 403
    assert Broadcast.objects.count() == 1


def test_a_form_without_the_csrf_token_is_forbidden(marketer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(marketer)

    assert client.post(PAGE, form(step="send")).status_code == 403


def test_a_draft_that_is_deleted_while_its_form_is_read_is_asked_for_again(as_marketer, monkeypatch):
    ChatFactory()
    preview = shown(as_marketer, form(text="", picture_file=upload("a.png", png())))
    find = drafts.find

    def find_and_lose(*args, **kwargs):
        found = find(*args, **kwargs)
        for name in default_storage.listdir("drafts")[1]:
            default_storage.delete(f"drafts/{name}")
        return found

    monkeypatch.setattr(drafts, "find", find_and_lose)

    answer = as_marketer.post(PAGE, going_on(preview, "send"))

    assert "The picture is not kept any more" in text_of(answer)
    assert not Broadcast.objects.exists()
