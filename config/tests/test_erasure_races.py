"""Erasing a person while others change the same data, on two connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from chats import retention as messages
from chats import services as chats
from chats.factories import ChatFactory, MessageFactory
from chats.models import Chat, Message
from core.data import erasure
from core.registry import Person
from core.tests import interleaving
from core.tests.interleaving import interleave
from events.factories import ApplicationFactory
from events.models import Event, Session
from events.rollups import digest
from events.tests.counting import NOON, assert_all_counted, commit

pytestmark = pytest.mark.django_db(transaction=True)


class Theirs:
    """A chat with messages, and a session with two events."""

    def __init__(self, application: Any) -> None:
        self.application, self.session = application, f"session-{uuid4().hex}"
        self.chat = ChatFactory()
        MessageFactory.create_batch(3, chat=self.chat)
        self.person = Person(self.chat.user_uuid, [self.session])
        self.happens("view", "leave")

    def happens(self, *names: str) -> None:
        commit([{"application": self.application, "session_id": self.session, "category": "page", "name": name,
                 "timestamp": NOON} for name in names])  # fmt: skip
        digest.run()


OTHERS: dict[str, Callable[[Theirs], Any]] = {
    "mark read": lambda theirs: chats.mark_read(chat=theirs.chat),
    "delete chat": lambda theirs: theirs.chat.delete(),
    "open chat again": lambda theirs: (theirs.chat.delete(), chats.open_chat(user_uuid=theirs.person.user_uuid)),
    "post": lambda theirs: chats.post_message(chat=theirs.chat, text="Hello"),
    "forget old messages": lambda theirs: messages.delete_old(),
    "erase": lambda theirs: erasure.erase(theirs.person),
    "another event": lambda theirs: theirs.happens("click"),
}


def meet(theirs: Theirs, other: str, after: int) -> bool:
    """Run `other` while an erasure is stopped after `after` statements; return whether it has that many."""
    goes_on, raised = interleave(lambda: erasure.erase(theirs.person), lambda: OTHERS[other](theirs), after)
    digest.run()

    assert [error for error in raised if not isinstance(error, Chat.DoesNotExist)] == []
    assert not Message.objects.exists()
    assert_all_counted()
    erasure.erase(theirs.person)
    assert not (Chat.objects.exists() or Event.objects.exists() or Session.objects.exists())
    return goes_on


@pytest.fixture
def theirs(settings) -> Theirs:
    settings.MESSAGE_DAYS = -1
    return Theirs(ApplicationFactory())


@pytest.mark.parametrize(
    ("other", "statement"),
    [
        ("delete chat", "FROM .chats_message"),
        ("erase", "FROM .chats_message"),
        ("another event", "MAX.*events_rejectedevent"),
    ],
)
def test_what_others_do_meanwhile_neither_stops_an_erasure_nor_breaks_what_is_left(
    other: str, statement: str, theirs: Theirs, monkeypatch
):
    monkeypatch.setattr(interleaving, "LOCKS", re.compile(statement))

    assert meet(theirs, other, 1)


@pytest.mark.chaos
@pytest.mark.parametrize("other", OTHERS)
def test_an_erasure_may_be_stopped_after_every_statement(other: str, theirs: Theirs, monkeypatch):
    monkeypatch.setattr(interleaving, "LOCKS", re.compile(""))
    after = 1
    while meet(theirs, other, after):
        theirs, after = Theirs(theirs.application), after + 1
    assert after > 20
