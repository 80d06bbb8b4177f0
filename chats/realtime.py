"""What people who watch are told of chats, as soon as it is committed: every payload is built here."""

from typing import Any

from live.publish import publish, publish_many

# The models announce their own changes, and no two files import each other: hence rows, not types, here.


def broadcast_progress(broadcast: Any) -> None:
    """Say how far a broadcast is, on its own topic and on that of all of them; the row's values are the news."""
    progress = {
        "id": broadcast.pk,
        "status": broadcast.status,
        "audience_size": broadcast.audience_size,
        "delivered": broadcast.delivered,
        "skipped": broadcast.skipped,
        "retracted_at": broadcast.retracted_at,
    }
    publish_many((topic, "broadcast.progress", progress) for topic in _topics(broadcast))


def broadcast_deleted(broadcast: Any) -> None:
    """Announce that a broadcast is deleted, on its own topic and on that of all of them."""
    publish_many((topic, "broadcast.deleted", {"id": broadcast.pk}) for topic in _topics(broadcast))


def _topics(broadcast: Any) -> tuple[str, str]:
    return "broadcasts", f"broadcast:{broadcast.pk}"


def message_created(message: Any) -> None:
    """Say that a chat has a personal message; a broadcast's million messages are its progress."""
    publish(f"chat:{message.chat_id}", "message.created", {"id": message.pk, "text": message.own_text})
