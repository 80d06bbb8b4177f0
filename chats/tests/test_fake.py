"""Fake chats are created in short transactions, so that no other transaction waits for a million of them."""

import pytest

from chats.broadcasts import fanout
from chats.demo import fake
from chats.factories import BroadcastFactory
from chats.models import Chat, Message
from chats.tests.test_fanout import in_another_connection


@pytest.mark.django_db(transaction=True)
def test_an_audience_is_frozen_between_two_batches_of_fake_chats(monkeypatch):
    monkeypatch.setattr(fake, "BATCH", 10)
    broadcast = BroadcastFactory()
    frozen: list[bool] = []

    def freeze(_: int) -> None:
        if not frozen:
            frozen.append(False)
            thread = in_another_connection(lambda: frozen.append(fanout.freeze(broadcast, largest_chunk=10)))
            thread.join(10)

    fake.create_fake_chats(30, 2, freeze)

    broadcast.refresh_from_db()
    assert (frozen, broadcast.audience_size) == ([False, True], 10)
    assert (Chat.objects.count(), Message.objects.count()) == (30, 60)
