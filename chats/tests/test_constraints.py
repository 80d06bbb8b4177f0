import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from chats.factories import BannerFactory, BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Chunk, ListedUsers, Message, Recipient

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


def test_nobody_gets_a_broadcast_twice():
    chat, broadcast = ChatFactory(), BroadcastFactory()
    Message.objects.create(chat=chat, broadcast=broadcast)

    with refused("chats_message_once_per_broadcast"):
        Message.objects.create(chat=chat, broadcast=broadcast)


def test_a_chat_may_have_many_personal_messages():
    chat = ChatFactory()

    MessageFactory.create_batch(3, chat=chat)

    assert chat.messages.count() == 3


def test_a_personal_message_is_not_empty():
    with refused("chats_message_content"):
        MessageFactory(own_text="")


def test_a_broadcasts_message_holds_no_content_of_its_own():
    with refused("chats_message_content"):
        MessageFactory(broadcast=BroadcastFactory(), own_text="mine")


def test_one_banner_is_never_in_two_broadcasts():
    banner = BannerFactory()
    BroadcastFactory(banner=banner, banner_url=banner.source_url)

    with refused("chats_broadcast_banner_id"):
        BroadcastFactory(banner=banner, banner_url=banner.source_url)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("chats_broadcast_status", {"status": "dreaming"}),
        ("chats_broadcast_audience", {"audience": "nobody"}),
        ("chats_broadcast_content", {"text": ""}),
        ("chats_broadcast_scheduled_when", {"status": "scheduled"}),
        ("chats_broadcast_frozen", {"status": "sending"}),
        (
            "chats_broadcast_sends_content",
            {
                "status": "sent",
                "text": "",
                "banner_url": "x",
                "audience_size": 0,
                "finished_at": "now",
                "started_at": "now",
            },
        ),
        ("chats_broadcast_sends_content", {"status": "paused", "text": "", "banner_url": "x", "audience_size": 0}),
        ("chats_broadcast_waits_unfrozen", {"status": "queued", "audience_size": 3, "started_at": "now"}),
        ("chats_broadcast_counted", {"audience_size": 3, "delivered": 2, "skipped": 2}),
        (
            "chats_broadcast_all_accounted_for",
            {"status": "sent", "audience_size": 3, "delivered": 2, "finished_at": "now", "started_at": "now"},
        ),
        ("chats_broadcast_failed_before_any_message", {"status": "failed", "finished_at": "now"}),
        ("chats_broadcast_finished_when", {"status": "cancelled"}),
        ("chats_broadcast_finished_when", {"status": "queued", "finished_at": "now"}),
    ],
)
def test_an_impossible_broadcast_is_refused_by_the_database(constraint: str, fields: dict):
    with refused(constraint):
        BroadcastFactory(**{key: timezone.now() if value == "now" else value for key, value in fields.items()})


def test_a_range_is_done_only_when_everybody_in_it_is_accounted_for():
    broadcast = BroadcastFactory()

    with refused("chats_chunk_all_accounted_for"), transaction.atomic():
        Chunk.objects.create(
            broadcast=broadcast, number=0, first_id=1, last_id=9, size=5, delivered=3, skipped=1, done_at=timezone.now()
        )


def test_a_user_is_listed_once():
    chat, broadcast = ChatFactory(), BroadcastFactory(audience=ListedUsers.kind)
    Recipient.objects.create(broadcast=broadcast, user_uuid=chat.user_uuid)

    with refused("chats_recipient_once"):
        Recipient.objects.create(broadcast=broadcast, user_uuid=chat.user_uuid)
