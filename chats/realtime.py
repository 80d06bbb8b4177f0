"""Live messages about chats. Every payload is built here and published on commit."""

from chats.models import Broadcast, Message
from live.publish import publish, publish_many


def broadcast_progress(broadcast: Broadcast) -> None:
    """Publish a broadcast's progress from the row's values, on its own topic and on the topic of all broadcasts."""
    progress = {
        "id": broadcast.pk,
        "status": broadcast.status,
        "audience_size": broadcast.audience_size,
        "delivered": broadcast.delivered,
        "skipped": broadcast.skipped,
        "retracted_at": broadcast.retracted_at,
    }
    publish_many((topic, "broadcast.progress", progress) for topic in _topics(broadcast))


def broadcast_deleted(broadcast: Broadcast) -> None:
    """Publish that a broadcast was deleted, on its own topic and on the topic of all broadcasts."""
    publish_many((topic, "broadcast.deleted", {"id": broadcast.pk}) for topic in _topics(broadcast))


def _topics(broadcast: Broadcast) -> tuple[str, str]:
    return "broadcasts", f"broadcast:{broadcast.pk}"


def message_created(message: Message) -> None:
    """Publish a chat's new personal message. Messages of a broadcast are published only as its progress."""
    publish(f"chat:{message.chat_id}", "message.created", {"id": message.pk, "text": message.own_text})
