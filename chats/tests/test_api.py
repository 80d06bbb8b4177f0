"""The REST API of chats as a client uses it."""

import io
import json
import uuid

import pytest
from django.utils import timezone
from PIL import Image

from chats.broadcasts import fanout
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast, Chat, ListedUsers, Message

pytestmark = pytest.mark.django_db


def picture(name: str = "picture.png") -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, "PNG")
    file.seek(0)
    file.name = name
    return file


def sent_broadcast(**fields) -> Broadcast:
    broadcast = BroadcastFactory(**fields)
    fanout.freeze(broadcast, largest_chunk=1_000)
    fanout.run(broadcast, seconds=10)
    broadcast.refresh_from_db()
    return broadcast


def test_a_chat_is_opened_once(marketer_api):
    user_uuid = str(uuid.uuid4())

    first = marketer_api.post("/chats/", {"user_uuid": user_uuid})
    again = marketer_api.post("/chats/", {"user_uuid": user_uuid})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["user_uuid"] == again.json()["user_uuid"] == user_uuid
    assert Chat.objects.count() == 1


def test_chats_come_in_pages_newest_first(marketer_api):
    create_fake_chats(120)

    first = marketer_api.get("/chats/").json()
    second = marketer_api.get(first["next"]).json()

    assert len(first["results"]) == len(second["results"]) == 50
    newest = str(Chat.objects.order_by("-pk").first().user_uuid)
    assert first["results"][0]["user_uuid"] == newest
    assert not {row["user_uuid"] for row in first["results"]} & {row["user_uuid"] for row in second["results"]}


def test_a_chat_is_deleted_with_its_messages_by_those_who_may(superuser, viewer_api, client):
    message = MessageFactory()
    address = f"/chats/{message.chat.user_uuid}/"
    client.force_login(superuser)

    assert viewer_api.delete(address).status_code == 403
    assert client.delete(address).status_code == 204

    assert not Message.objects.exists()


def test_a_chat_that_is_not_there_is_404(marketer_api):
    assert marketer_api.get(f"/chats/{uuid.uuid4()}/").status_code == 404
    assert marketer_api.get(f"/chats/{uuid.uuid4()}/messages/").status_code == 404


@pytest.mark.parametrize("spelling", ["{0}", "{0.hex}", "{upper}", "{dashless_upper}"])
def test_an_address_takes_a_uuid_in_any_usual_spelling(marketer_api, spelling):
    id = ChatFactory().user_uuid
    spelled = spelling.format(id, upper=str(id).upper(), dashless_upper=id.hex.upper())

    for path in ("", "messages/"):
        assert marketer_api.get(f"/chats/{spelled}/{path}").status_code == 200
    assert marketer_api.get(f"/chats/{spelled}/").json()["user_uuid"] == str(id)


def test_a_personal_message_with_text_and_picture_is_in_the_chat(marketer_api, as_marketer):
    chat = ChatFactory()
    address = f"/chats/{chat.user_uuid}/messages/"

    answer = marketer_api.post(address, {"text": "Hello!", "image": picture()}, format="multipart")

    assert answer.status_code == 201, answer.content
    listed = marketer_api.get(address).json()["results"]
    assert [row["text"] for row in listed] == ["Hello!"]
    served = as_marketer.get(listed[0]["image"])
    assert served.status_code == 200
    assert served.headers["Content-Type"] == "image/webp"
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in served.headers["Content-Security-Policy"]
    assert served.getvalue().startswith(b"RIFF")
    served.close()


@pytest.mark.parametrize("body", [{}, {"text": "  "}, {"text": "x" * 4001}])
def test_a_message_without_content_or_with_too_much_is_refused_at_its_field(marketer_api, body):
    answer = marketer_api.post(f"/chats/{ChatFactory().user_uuid}/messages/", body)

    assert answer.status_code == 400
    assert "text" in answer.json()["errors"]


def test_a_file_that_is_no_picture_is_refused_in_words(marketer_api):
    page = io.BytesIO(b"<html><script>alert(1)</script>")
    page.name = "picture.png"

    answer = marketer_api.post(f"/chats/{ChatFactory().user_uuid}/messages/", {"image": page}, format="multipart")

    assert answer.status_code == 400
    assert "image" in answer.json()["errors"]
    assert not Message.objects.exists()


def test_messages_are_marked_as_read_up_to_one(marketer_api):
    chat = ChatFactory()
    first, _, third = MessageFactory.create_batch(3, chat=chat)
    address = f"/chats/{chat.user_uuid}/messages/read/"

    assert marketer_api.post(address, {"up_to": third.pk - 1}).json() == {"marked": 2}
    assert marketer_api.post(address).json() == {"marked": 1}

    first.refresh_from_db()
    assert first.read_at is not None


def test_exactly_the_messages_that_were_shown_are_marked_as_read_and_no_hidden_one(marketer_api):
    chat = ChatFactory()
    broadcast = BroadcastFactory(retracted_at=timezone.now())
    hidden = MessageFactory(chat=chat, broadcast=broadcast, own_text="")
    first, second = MessageFactory.create_batch(2, chat=chat)
    address = f"/chats/{chat.user_uuid}/messages/read/"

    assert marketer_api.post(address, {"ids": [second.pk, hidden.pk]}).json() == {"marked": 1}
    assert list(chat.messages.unread().order_by("pk")) == [hidden, first]
    assert marketer_api.post(address).json() == {"marked": 1}
    assert list(chat.messages.unread()) == [hidden]


def test_a_retracted_broadcast_is_gone_from_the_chat_and_back_after_the_undo(marketer_api):
    chat = ChatFactory()
    broadcast = sent_broadcast(text="Oops")
    messages = f"/chats/{chat.user_uuid}/messages/"

    marketer_api.post(f"/broadcasts/{broadcast.pk}/retract/")
    assert marketer_api.get(messages).json()["results"] == []

    marketer_api.post(f"/broadcasts/{broadcast.pk}/restore/")
    assert [row["text"] for row in marketer_api.get(messages).json()["results"]] == ["Oops"]


def test_a_broadcast_to_everybody_is_queued(marketer_api, marketer):
    answer = marketer_api.post("/broadcasts/", {"text": "Sale!", "audience": "all"})

    body = answer.json()
    assert answer.status_code == 202
    assert (body["status"], body["audience"], body["created_by"]) == ("queued", "all", "mara")
    assert marketer_api.get(f"/broadcasts/{body['id']}/").json() == body


def test_a_broadcast_to_some_counts_each_of_them_once(marketer_api):
    chat = ChatFactory()
    audience = [str(chat.user_uuid), str(chat.user_uuid), str(uuid.uuid4())]

    body = marketer_api.post("/broadcasts/", {"text": "You!", "audience": audience}).json()

    broadcast = Broadcast.objects.get(pk=body["id"])
    assert broadcast.audience == ListedUsers.kind
    assert broadcast.recipients.count() == 2


@pytest.mark.parametrize("audience", [None, "some", [], ["nonsense"], {"all": 1}])
def test_an_audience_that_makes_no_sense_is_refused_at_its_field(marketer_api, audience):
    answer = marketer_api.post("/broadcasts/", {"text": "x", "audience": audience})

    assert answer.status_code == 400
    assert "audience" in answer.json()["errors"]


def test_a_broadcast_for_later_is_scheduled(marketer_api):
    body = marketer_api.post(
        "/broadcasts/", {"text": "New year", "audience": "all", "send_at": "2999-01-01T00:00:00Z"}
    ).json()

    assert (body["status"], body["send_at"]) == ("scheduled", "2999-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("send_at", "sentence"),
    [
        ("2020-01-01T09:00:00Z", "This time has passed."),
        ("2030-01-01T09:00:00", "Say in which zone"),
        ("tomorrow", "wrong format"),
    ],
)
def test_a_time_that_has_passed_or_has_no_zone_is_refused_and_sends_nothing(marketer_api, send_at, sentence):
    answer = marketer_api.post("/broadcasts/", {"text": "x", "audience": "all", "send_at": send_at})

    assert answer.status_code == 400
    assert sentence in answer.json()["errors"]["send_at"][0]
    assert not Broadcast.objects.exists()


@pytest.mark.parametrize("written", ["parts", "JSON", "one"])
def test_a_picture_goes_to_listed_users(marketer_api, written):
    users = [str(chat.user_uuid) for chat in ChatFactory.create_batch(1 if written == "one" else 3)]
    audience = json.dumps(users) if written == "JSON" else users

    answer = marketer_api.post("/broadcasts/", {"image": picture(), "audience": audience}, format="multipart")

    assert (answer.status_code, answer.json()["audience"]) == (202, "listed")
    broadcast = Broadcast.objects.get()
    assert broadcast.image and sorted(str(row.user_uuid) for row in broadcast.recipients.all()) == sorted(users)


def test_a_picture_goes_to_all_chats(marketer_api):
    answer = marketer_api.post("/broadcasts/", {"image": picture(), "audience": "all"}, format="multipart")

    assert (answer.status_code, answer.json()["audience"]) == (202, "all")


@pytest.mark.parametrize(
    "audience",
    ["", "everybody", "[", "[]", '["x"]', '{"saved": 1}', ["all", "all"], "1", "[1]", "[" * 5_000, '["' + "x" * 999],
)
def test_an_audience_of_a_form_that_is_no_list_of_users_is_refused_in_words(marketer_api, audience):
    answer = marketer_api.post("/broadcasts/", {"image": picture(), "audience": audience}, format="multipart")

    assert answer.status_code == 400 and "audience" in answer.json()["errors"]
    assert not Broadcast.objects.exists()


def test_the_verbs_answer_with_the_broadcast_or_409_in_words(marketer_api):
    broadcast = BroadcastFactory()
    address = f"/broadcasts/{broadcast.pk}/"

    assert marketer_api.post(f"{address}pause/").json()["status"] == "paused"
    assert marketer_api.post(f"{address}resume/").json()["status"] == "queued"
    assert marketer_api.post(f"{address}cancel/").json()["status"] == "cancelled"

    refused = marketer_api.post(f"{address}pause/")
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"Broadcast {broadcast.pk} is cancelled and cannot be paused now."


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retract", "restore", "retry"])
def test_a_viewer_changes_nothing(viewer_api, verb):
    broadcast = BroadcastFactory()

    assert viewer_api.get(f"/broadcasts/{broadcast.pk}/").status_code == 200
    assert viewer_api.post(f"/broadcasts/{broadcast.pk}/{verb}/").status_code == 403

    broadcast.refresh_from_db()
    assert broadcast.status == "queued"


def test_broadcasts_are_filtered_by_status(marketer_api):
    queued, failed = BroadcastFactory(), BroadcastFactory(failed=True)

    def ids(query: str) -> list[int]:
        return [row["id"] for row in marketer_api.get(f"/broadcasts/?{query}").json()["results"]]

    assert ids("status=failed") == [failed.pk]
    assert ids("") == [failed.pk, queued.pk]
    assert marketer_api.get("/broadcasts/?status=lost").status_code == 400


def test_the_timeline_says_who_did_what(marketer_api, marketer):
    broadcast = BroadcastFactory()

    marketer_api.post(f"/broadcasts/{broadcast.pk}/pause/")

    assert list(broadcast.steps.values_list("verb", "actor__username")) == [("paused", "mara")]


def test_pictures_are_for_those_who_are_signed_in_and_never_a_page(marketer_api, client):
    chat = ChatFactory()
    address = f"/chats/{chat.user_uuid}/messages/"
    image = marketer_api.post(address, {"image": picture()}, format="multipart").json()["image"]

    assert client.get(image).status_code == 401
    assert client.get("/media/../config/settings.py").status_code in (401, 404)


# --- Changing a scheduled broadcast -----------------------------------------------------------------
LATER = "2030-01-01T09:00:00Z"


def scheduled(api, **more) -> str:
    made = api.post("/broadcasts/", {"text": "First", "audience": "all", "send_at": LATER, **more}, format="json")
    assert made.status_code == 202, made.content
    return f"/broadcasts/{made.json()['id']}/"


def test_a_scheduled_broadcast_is_changed_member_by_member(marketer_api):
    path = scheduled(marketer_api)

    changed = marketer_api.patch(path, {"text": "Second"}, format="json").json()
    assert (changed["text"], changed["send_at"], changed["status"]) == ("Second", LATER, "scheduled")
    changed = marketer_api.patch(path, {"send_at": "2031-01-01T10:00:00+01:00"}, format="json").json()
    assert (changed["text"], changed["send_at"]) == ("Second", "2031-01-01T09:00:00Z")


def test_what_get_gave_changes_nothing_and_a_picture_stays(marketer_api):
    path = scheduled(marketer_api)
    stored = marketer_api.patch(path, {"image": picture()}, format="multipart").json()["image"]
    steps = Broadcast.objects.get().steps
    before = steps.count()
    shown = marketer_api.get(path).json()

    assert marketer_api.patch(path, shown, format="json").json() == shown
    assert steps.count() == before
    assert marketer_api.patch(path, {"text": "New"}, format="json").json()["image"] == stored
    assert marketer_api.patch(path, {"image": None}, format="json").json()["image"] is None


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"text": " "}, "text"),
        ({"audience": [str(uuid.uuid4())]}, "audience"),
        ({"send_at": "2020-01-01T00:00:00Z"}, "send_at"),
        ({"send_at": "2030-01-01T00:00:00"}, "send_at"),
        ({"sent_at": LATER}, "sent_at"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(marketer_api, change, member):
    path = scheduled(marketer_api)

    assert list(marketer_api.patch(path, change, format="json").json()["errors"]) == [member]
    assert marketer_api.get(path).json()["text"] == "First"


def test_a_broadcast_that_is_on_its_way_is_not_changed(marketer_api):
    made = marketer_api.post("/broadcasts/", {"text": "Now", "audience": "all"}, format="json").json()

    answer = marketer_api.patch(f"/broadcasts/{made['id']}/", {"text": "Later"}, format="json")

    assert answer.status_code == 409 and "not scheduled any more" in answer.json()["detail"]
