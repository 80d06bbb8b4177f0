"""Erasing a person deletes everything that belongs to them, including files, and nothing of others."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Chat, Message, Recipient
from core.data import erasure
from core.registry import Person
from events import services
from events.factories import ApplicationFactory, NotificationFactory
from events.models import Event, EventTombstone, Notification, RejectedEvent, Session
from events.rollups import digest
from events.tests.counting import NOON, assert_all_counted, commit

pytestmark = pytest.mark.django_db(transaction=True)


class Everything:
    """What belongs to one user: a chat with an image, a list entry, notifications, and a session."""

    def __init__(self, application: Any) -> None:
        self.user, self.session = uuid4(), f"session-{uuid4().hex}"
        chat = ChatFactory(user_uuid=self.user)
        self.picture = default_storage.save(f"messages/{self.user}.webp", ContentFile(b"picture"))
        MessageFactory(chat=chat, own_text="Hello")
        MessageFactory(chat=chat, own_text="", own_image=self.picture)
        Recipient.objects.create(
            broadcast=BroadcastFactory(status="failed", error="No.", finished_at=NOON), user_uuid=self.user
        )
        for spelt in (str(self.user), self.user.hex.upper()):
            NotificationFactory(user_id=spelt)
        shared = {"application": application, "session_id": self.session}
        raw = b'{"session_id": "%s", "name": 1}' % self.session.encode()
        commit([{**shared, "category": "page", "name": name} for name in ("view", "click", "leave")],
               [{"application": application, "raw": raw}])  # fmt: skip

    @property
    def person(self) -> Person:
        return Person(self.user, [self.session])

    def is_complete(self) -> bool:
        return erasure.count(self.person) == FOUND and default_storage.exists(self.picture)


FOUND = {
    "chats": 1,
    "messages": 2,
    "pictures": 1,
    "entries in lists of broadcasts": 1,
    "notifications": 2,
    "events": 3,
    "rejected events": 1,
    "sessions": 1,
}


@pytest.fixture
def two() -> tuple[Everything, Everything]:
    application = ApplicationFactory()
    everything = Everything(application), Everything(application)
    digest.run()
    assert all(one.is_complete() for one in everything)
    return everything


@pytest.mark.parametrize("at_once", [1, 500])
def test_one_person_is_erased_exactly_and_another_is_not_touched(two, at_once: int, monkeypatch):
    monkeypatch.setattr(erasure, "AT_ONCE", at_once)
    one, other = two

    assert erasure.erase(one.person) == FOUND

    assert set(erasure.count(one.person).values()) == {0} and not default_storage.exists(one.picture)
    assert other.is_complete()
    assert_all_counted()  # sessions and charts match the remaining events
    for model in (Chat, Session):
        assert model.objects.count() == 1
    assert (Message.objects.count(), Notification.objects.count()) == (2, 2)
    assert (Event.objects.count(), RejectedEvent.objects.count()) == (3, 1)


def test_the_keys_of_erased_events_are_kept_so_that_none_comes_back_when_it_is_sent_again(two):
    one, _ = two
    keys = ("application_id", "event_id", "timestamp")
    before = set(Event.objects.filter(session_id=one.session).values_list(*keys))

    erasure.erase(one.person)

    assert set(EventTombstone.objects.filter(reason="erased").values_list(*keys)) == before


def test_erasing_again_finds_nothing(two):
    one, _ = two
    erasure.erase(one.person)

    assert set(erasure.erase(one.person).values()) == {0}


def test_an_erasure_that_was_interrupted_is_completed(two, monkeypatch):
    one, other = two

    def interrupted(**_: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services, "delete_event", interrupted)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(one.person)
    assert erasure.count(one.person)["events"] == 3

    erasure.erase(one.person)

    assert set(erasure.count(one.person).values()) == {0} and other.is_complete()


def test_a_list_of_a_broadcast_on_its_way_keeps_its_entries():
    user = uuid4()
    Recipient.objects.create(broadcast=BroadcastFactory(), user_uuid=user)  # queued

    assert erasure.erase(Person(user))["entries in lists of broadcasts"] == 0
    assert Recipient.objects.count() == 1


def test_the_command_counts_first_and_erases_what_it_is_told_to(two, capsys):
    one, other = two

    call_command("erase_person", "--user", str(one.user), "--session", one.session, "--dry-run")
    assert "2  messages found" in capsys.readouterr().out and one.is_complete()

    call_command("erase_person", "--user", str(one.user), "--session", one.session, "--yes")
    assert "3  events erased" in capsys.readouterr().out
    assert set(erasure.count(one.person).values()) == {0} and other.is_complete()


def test_the_command_erases_nothing_without_a_name_or_a_yes(two, monkeypatch):
    one, _ = two
    with pytest.raises(CommandError, match="Name a user"):
        call_command("erase_person")

    monkeypatch.setattr("builtins.input", lambda words: "n")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_person", "--user", str(one.user))
    assert one.is_complete()
