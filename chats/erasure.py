"""Erasure of a person's chat, with its messages and images, and of the entries in lists of recipients."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet

from chats.models import Broadcast, Chat, Message, Recipient
from chats.stored_images import discard_on_commit
from core.data import erasure
from core.registry import Person

# While a broadcast is being sent, its counts are computed from its list of recipients.
IN_PROGRESS = [Broadcast.Status.QUEUED, Broadcast.Status.SENDING, Broadcast.Status.PAUSED]


def count(person: Person) -> dict[str, int]:
    """Count what `erase` would delete, by kind."""
    messages = Message.objects.filter(chat__user_uuid__in=person.users)
    return {
        "chats": Chat.objects.filter(user_uuid__in=person.users).count(),
        "messages": messages.count(),
        "pictures": messages.exclude(own_image="").count(),
        "entries in lists of broadcasts": _entries(person).count(),
    }


def erase(person: Person) -> dict[str, int]:
    """Delete everything; return by kind how many rows were deleted."""
    done = {"chats": 0, "messages": 0, "pictures": 0}
    done["entries in lists of broadcasts"] = erasure.delete_in_batches(_entries(person))
    # Repeated, because another request may delete and recreate the chat meanwhile.
    while chat := Chat.objects.filter(user_uuid__in=person.users).first():
        while _erase_messages(chat, done):
            pass
        deleted = chat.delete()[1]  # including messages that arrived meanwhile
        done["chats"] += deleted.get("chats.Chat", 0)
        done["messages"] += deleted.get("chats.Message", 0)
        LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Chat), object_id=str(chat.pk)).delete()
    return done


def _entries(person: Person) -> QuerySet[Recipient]:
    listed = Recipient.objects.filter(user_uuid__in=person.users)
    return listed.exclude(broadcast__status__in=IN_PROGRESS).order_by("pk")


def _erase_messages(chat: Chat, done: dict[str, int]) -> bool:
    """Delete some of a chat's messages, and add their numbers to `done`; return whether there were any."""
    with transaction.atomic():
        Chat.objects.select_for_update(no_key=True).filter(pk=chat.pk).first()  # lock order: chat before messages
        some = list(Message.objects.filter(chat=chat).order_by("pk")[: erasure.AT_ONCE])
        names = [str(message.own_image) for message in some if message.own_image]
        discard_on_commit(*names)
        deleted = Message.objects.filter(pk__in=[message.pk for message in some]).delete()[1]
    done["messages"] += deleted.get("chats.Message", 0)
    done["pictures"] += len(names)
    return bool(some)
