"""Stored pictures: access checks, their lifetime, and a storage that refuses writes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from chats import files, services
from chats.broadcasts.drafts import KEPT
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Banner, Broadcast, BroadcastNotAllowed, Chat, Message
from chats.tests.banner_list import png
from chats.tests.test_send_banner import api, delivered
from core.images.conversion import Picture, reencode
from core.storage_failure import StorageFailure
from core.tests.full_disk import no_room

__all__ = ["api"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def picture() -> Picture:
    return reencode(png())


def stored() -> list[str]:
    """Every file in the storage."""
    return sorted(
        f"{folder}/{name}" for folder in default_storage.listdir("")[0] for name in default_storage.listdir(folder)[1]
    )


def status(client: Client, address: str) -> int:
    return fetched(client, address).status_code


def fetched(client: Client, address: str):
    """Get a picture and read it completely, which closes the file."""
    answer = client.get(address)
    b"".join(answer)
    return answer


# --- Access -------------------------------------------------------------------------------------


def sent(picture: Picture, **fields) -> Broadcast:
    broadcast = services.compose(actor=None, text="Hello", image=picture)
    Broadcast.objects.update(
        status="sent", audience_size=1, delivered=1, started_at=timezone.now(), finished_at=timezone.now(), **fields
    )
    return broadcast


def of_a_message(picture: Picture) -> str:
    return services.post_message(chat=ChatFactory(), image=picture).own_image.name


def of_a_broadcast(picture: Picture) -> str:
    return sent(picture).image.name


def of_a_banner(picture: Picture) -> str:
    name = default_storage.save("banners/1.webp", ContentFile(picture.content))
    Banner.objects.create(source_url="https://example.com/1.png", image=name)
    return name


@pytest.mark.parametrize("made", [of_a_message, of_a_broadcast, of_a_banner])
def test_a_picture_is_for_those_who_may_view_what_it_belongs_to(made, picture, as_viewer, as_stranger, client):
    address = f"/media/{made(picture)}"

    answer = fetched(as_viewer, address)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert (status(as_stranger, address), status(client, address)) == (403, 401)


def test_a_scheduled_broadcasts_picture_is_not_for_those_who_see_messages_only(picture, viewer, as_viewer):
    viewer.groups.clear()
    viewer.user_permissions.set(permissions("view_message"))
    broadcast = services.compose(actor=None, image=picture, text="", send_at=timezone.now() + timedelta(days=1))
    address = f"/media/{broadcast.image.name}"

    assert status(as_viewer, address) == 403
    Broadcast.objects.update(
        status="sent", audience_size=1, delivered=1, started_at=timezone.now(), finished_at=timezone.now()
    )
    assert status(as_viewer, address) == 200


def permissions(*names: str):
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename__in=names)


def test_a_retracted_broadcasts_picture_is_gone_until_it_is_restored(picture, as_superuser):
    broadcast = sent(picture)
    address = f"/media/{broadcast.image.name}"
    page = f"/admin/chats/broadcast/{broadcast.pk}/change/"

    services.retract(broadcast=broadcast, actor=None)
    assert status(as_superuser, address) == 404
    assert address not in as_superuser.get(page).content.decode()

    services.restore(broadcast=broadcast, actor=None)
    assert status(as_superuser, address) == 200


@pytest.mark.parametrize("name", ["messages/%00.webp", "messages/x.webp", "other/x.webp", "drafts/.webp", "x.webp", ""])
def test_a_name_that_belongs_to_nothing_is_a_404(name: str, as_superuser):
    assert status(as_superuser, f"/media/{name}") == 404


def test_a_draft_is_for_its_owner_only(as_marketer, as_superuser):
    form = {"text": "", "audience": "all", "when": "now", "step": "preview"}
    as_marketer.post("/admin/chats/broadcast/add/", {**form, "picture_file": SimpleUploadedFile("a.png", png())})
    (name,) = [name for name in stored() if name.endswith(".webp")]

    assert status(as_marketer, f"/media/{name}") == 200
    assert status(as_superuser, f"/media/{name}") == 404


# --- Files are deleted with their rows ----------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_picture_goes_with_its_chat(picture, marketer_api, superuser):
    message = services.post_message(chat=ChatFactory(), image=picture)
    services.post_message(chat=ChatFactory(), image=picture)
    kept = stored()
    marketer_api.force_authenticate(superuser)

    assert marketer_api.delete(f"/chats/{message.chat.user_uuid}/").status_code == 204

    assert stored() == [name for name in kept if name != message.own_image.name]


@pytest.mark.django_db(transaction=True)
def test_a_replaced_picture_goes_and_a_kept_one_stays(picture):
    later = timezone.now() + timedelta(hours=1)
    broadcast = services.compose(actor=None, image=picture, text="", send_at=later)
    first = broadcast.image.name

    services.update_scheduled(broadcast=broadcast, actor=None, text="New words", image=first, send_at=later)
    assert stored() == [first]

    services.update_scheduled(broadcast=broadcast, actor=None, text="", image=picture, send_at=later)
    broadcast.refresh_from_db()
    assert stored() == [broadcast.image.name] != [first]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_keeps_a_picture_which_another_editor_replaced_is_refused(picture):
    later = timezone.now() + timedelta(hours=1)
    broadcast = services.compose(actor=None, image=picture, text="", send_at=later)
    mine = Broadcast.objects.get()
    services.update_scheduled(broadcast=broadcast, actor=None, text="", image=picture, send_at=later)

    with pytest.raises(BroadcastNotAllowed, match="was replaced meanwhile"):
        services.update_scheduled(broadcast=mine, actor=None, text="Mine", image=mine.image.name, send_at=later)


def too_late(picture: Picture) -> None:
    broadcast = BroadcastFactory()
    services.update_scheduled(broadcast=broadcast, actor=None, text="", image=picture, send_at=None)


def into_a_deleted_chat(picture: Picture) -> None:
    chat = ChatFactory()
    Chat.objects.filter(pk=chat.pk).delete()
    services.post_message(chat=chat, image=picture)


@pytest.mark.parametrize("fails", [too_late, into_a_deleted_chat])
def test_a_change_that_is_refused_leaves_no_file(fails: Callable[[Picture], None], picture):
    with pytest.raises((BroadcastNotAllowed, Chat.DoesNotExist)):
        fails(picture)

    assert stored() == []


def test_the_same_request_twice_leaves_one_file(picture, marketer):
    key = "6f1c7a9e-4a54-4c5e-9b54-8c6a0c3f1d2e"
    once, twice = (services.compose(actor=marketer, text="", image=picture, request_key=key) for _ in range(2))

    assert stored() == [once.image.name] == [twice.image.name]


def test_a_new_broadcast_never_shares_the_file_of_another(picture, as_marketer, marketer):
    from chats.broadcasts.drafts import refer_to

    first = services.compose(actor=marketer, text="First", image=picture)
    reference = refer_to(first.image.name, owner=marketer).reference

    as_marketer.post(
        "/admin/chats/broadcast/add/",
        {"text": "Second", "audience": "all", "when": "now", "step": "send", "picture_kept": reference},
    )

    second = Broadcast.objects.exclude(pk=first.pk).get()
    assert second.image.name != first.image.name
    assert stored() == sorted([first.image.name, second.image.name])


# --- The sweeper --------------------------------------------------------------------------------


def put(name: str, age: timedelta) -> str:
    default_storage.save(name, ContentFile(b"x"))
    moment = time.time() - age.total_seconds()
    os.utime(default_storage.path(name), (moment, moment))
    return name


def test_the_sweeper_deletes_old_files_that_no_row_has(picture):
    long_ago = files.AGE + timedelta(minutes=1)
    of_message = MessageFactory(own_image=put("messages/a.webp", long_ago)).own_image.name
    of_broadcast = BroadcastFactory(image=put("messages/b.webp", long_ago)).image.name
    of_banner = put("banners/c.webp", long_ago)
    Banner.objects.create(source_url="https://example.com/c", image=of_banner)
    being_written = put("messages/d.webp", timedelta(0))
    draft = put("drafts/1-e.webp", KEPT)
    for orphan in ("messages/f.webp", "banners/g.webp"):
        put(orphan, long_ago)
    put("drafts/1-h.webp", 2 * KEPT + timedelta(minutes=1))

    assert files.sweep() == 3

    assert stored() == sorted([of_message, of_broadcast, of_banner, being_written, draft])


def test_each_round_looks_at_a_bounded_number_and_the_rounds_reach_every_file(monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES_PER_SWEEP", 3)
    kept = [put(f"messages/{number}.webp", timedelta(0)) for number in range(4)]
    put("messages/9.webp", 2 * files.AGE)

    assert [files.sweep() for _ in range(3)] == [0, 1, 0]

    assert stored() == kept


def test_a_round_asks_once_for_each_kind_of_row_and_by_an_index(django_assert_num_queries):
    create_fake_chats(200, 5)
    for number in range(150):
        put(f"messages/{number:03}.webp", 2 * files.AGE)

    with django_assert_num_queries(3) as asked:
        assert files.sweep() == 150

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        assert "chats_message_picture" in str(cursor.fetchall())


# --- A storage that refuses writes --------------------------------------------------------------


@contextmanager
def no_folder() -> Iterator[None]:
    """Put a file where the folders should be."""
    os.rmdir(default_storage.path("")) if os.path.isdir(default_storage.path("")) else None
    with open(default_storage.path("").rstrip("/"), "w"):
        pass
    try:
        yield
    finally:
        os.remove(default_storage.path("").rstrip("/"))


@pytest.mark.parametrize("broken", [no_room, no_folder])
def test_a_message_whose_picture_cannot_be_stored_is_a_503_and_leaves_nothing(broken, marketer_api):
    address = f"/chats/{ChatFactory().user_uuid}/messages/"

    with broken():
        answer = marketer_api.post(address, {"image": SimpleUploadedFile("a.png", png())}, format="multipart")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert answer.json()["detail"].startswith("The storage ")
    assert not Message.objects.exists()


def test_a_broadcast_whose_picture_cannot_be_stored_is_a_503_and_leaves_nothing(marketer_api):
    body = {"image": SimpleUploadedFile("a.png", png()), "audience": "all"}

    with no_room():
        answer = marketer_api.post("/broadcasts/", body, format="multipart")

    assert (answer.status_code, answer.json()["detail"]) == (503, "The storage is full.")
    assert not Broadcast.objects.exists()
    assert stored() == []


def test_the_forms_say_that_the_storage_is_full_and_keep_what_was_typed(as_marketer):
    chat = ChatFactory()
    composing = {"text": "My words", "audience": "listed", "users": str(chat.user_uuid), "when": "now", "step": "send"}

    with no_room():
        written = as_marketer.post(
            f"/admin/chats/chat/{chat.pk}/change/", {"text": "My words", "image": SimpleUploadedFile("a.png", png())}
        )
        composed = as_marketer.post(
            "/admin/chats/broadcast/add/", {**composing, "picture_file": SimpleUploadedFile("a.png", png())}
        )

    for page in (written, composed):
        assert page.status_code == 200
        assert "The storage is full." in page.content.decode()
        assert "My words" in page.content.decode()
    assert not Message.objects.exists() and not Broadcast.objects.exists()


def test_a_banner_that_cannot_be_stored_fails_its_broadcast_and_is_free_again(api, marketer):
    create_fake_chats(5)

    with no_room():
        failed = delivered(services.send_next_banner(actor=marketer))

    assert (failed.status, failed.error) == ("failed", "The banner could not be stored: The storage is full.")
    assert failed.banner is None and not Message.objects.exists()
    sent = delivered(services.send_next_banner(actor=marketer))
    assert (sent.status, sent.banner_url) == ("sent", failed.banner_url)


def test_a_failure_of_the_storage_has_its_own_error(picture):
    with no_room(), pytest.raises(StorageFailure, match="full"):
        services.post_message(chat=ChatFactory(), image=picture)
