"""The live messages about chats."""

import json

import pytest

from chats import services
from chats.broadcasts import fanout
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory
from live.models import OutboxMessage

pytestmark = pytest.mark.django_db


def told(topic: str) -> list[dict]:
    return [
        json.loads(data)
        for data in OutboxMessage.objects.filter(topic=topic).order_by("id").values_list("data", flat=True)
    ]


def test_every_step_of_a_broadcast_is_told_with_its_numbers(marketer):
    create_fake_chats(120)
    broadcast = services.compose(actor=marketer, text="Hello")
    fanout.freeze(broadcast, largest_chunk=60)

    fanout.run(broadcast, seconds=10)

    steps = [(said["status"], said["delivered"], said["audience_size"]) for said in told(f"broadcast:{broadcast.pk}")]
    assert steps == [
        ("queued", 0, None), ("sending", 0, 120), ("sending", 50, 120), ("sending", 100, 120), ("sending", 120, 120),
        ("sent", 120, 120),
    ]  # fmt: skip
    assert told("broadcasts") == told(f"broadcast:{broadcast.pk}")


def test_a_retraction_is_told(marketer):
    ChatFactory()
    broadcast = BroadcastFactory()
    fanout.freeze(broadcast, largest_chunk=60)
    fanout.run(broadcast, seconds=10)

    services.retract(broadcast=broadcast, actor=marketer)

    assert told("broadcasts")[-1]["retracted_at"] is not None


def test_a_personal_message_is_told_to_those_who_watch_its_chat():
    chat = ChatFactory()

    message = services.post_message(chat=chat, text="Only for you")

    assert told(f"chat:{chat.pk}") == [{"id": message.pk, "text": "Only for you"}]
