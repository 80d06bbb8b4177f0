"""Erasure of one person: the chat with its messages and images, notifications, and the events of sessions.

It works in transactions of bounded size, so that other requests do not wait long. It may be repeated, also after an
interruption, and then erases what is left. It does not cover logs, backups, and live messages, which are deleted after
LIVE_RETENTION_HOURS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Max, QuerySet

from chats.models import Broadcast, Chat, Message, Recipient
from chats.stored_images import discard_on_commit
from events import services
from events.models import Event, Notification, RejectedEvent, Session

AT_ONCE = 500  # rows per transaction
SCANNED = 2_000  # rejected events read per statement
# While a broadcast is being sent, its counts are computed from its list of recipients.
ON_THEIR_WAY = [Broadcast.Status.QUEUED, Broadcast.Status.SENDING, Broadcast.Status.PAUSED]


@dataclass(frozen=True)
class Person:
    """Who is erased: the UUID of a user of the product, and the ids of that user's sessions."""

    user_uuid: UUID | None = None
    sessions: list[str] = field(default_factory=list)

    @property
    def users(self) -> list[UUID]:
        return [] if self.user_uuid is None else [self.user_uuid]

    def spellings(self) -> list[str]:
        """Return the user id in all spellings that other services may have used."""
        plain = [text for user in self.users for text in (str(user), user.hex)]
        return [*plain, *(text.upper() for text in plain)]


def count(person: Person) -> dict[str, int]:
    """Count what `erase` would delete, by kind."""
    messages = Message.objects.filter(chat__user_uuid__in=person.users)
    return {
        "chats": Chat.objects.filter(user_uuid__in=person.users).count(),
        "messages": messages.count(),
        "pictures": messages.exclude(own_image="").count(),
        "entries in lists of broadcasts": _listed(person).count(),
        "notifications": _notifications(person).count(),
        "events": Event.objects.filter(session_id__in=person.sessions).count(),
        "rejected events": sum(len(ids) for ids in _rejected(person)),
        "sessions": Session.objects.filter(pk__in=person.sessions).count(),
    }


def erase(person: Person) -> dict[str, int]:
    """Delete everything; return by kind how many rows were deleted."""
    done = {"notifications": _in_batches(_notifications(person))}
    done["entries in lists of broadcasts"] = _in_batches(_listed(person))
    done |= _erase_chat(person)
    there = list(Session.objects.filter(pk__in=person.sessions).values_list("pk", flat=True))
    done["events"] = _erase_events(person)
    done["rejected events"] = sum(services.delete_rejected(ids=ids) for ids in _rejected(person))
    for session in there:
        _erase_empty_session(session)
    done["sessions"] = len(there) - Session.objects.filter(pk__in=there).count()
    return done


def _notifications(person: Person) -> QuerySet[Notification]:
    return Notification.objects.filter(user_id__in=person.spellings()).order_by("pk")


def _listed(person: Person) -> QuerySet[Recipient]:
    return (
        Recipient.objects.filter(user_uuid__in=person.users).exclude(broadcast__status__in=ON_THEIR_WAY).order_by("pk")
    )


def _in_batches(rows: QuerySet[Any]) -> int:
    """Delete these rows, AT_ONCE per transaction."""
    total = 0
    while ids := list(rows.values_list("pk", flat=True)[:AT_ONCE]):
        total += rows.model.objects.filter(pk__in=ids).delete()[0]
    return total


def _erase_chat(person: Person) -> dict[str, int]:
    done = {"chats": 0, "messages": 0, "pictures": 0}
    # Repeated, because another request may delete and recreate the chat meanwhile.
    while chat := Chat.objects.filter(user_uuid__in=person.users).first():
        while _erase_messages(chat, done):
            pass
        deleted = chat.delete()[1]  # including messages that arrived meanwhile
        done["chats"] += deleted.get("chats.Chat", 0)
        done["messages"] += deleted.get("chats.Message", 0)
        LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Chat), object_id=str(chat.pk)).delete()
    return done


def _erase_messages(chat: Chat, done: dict[str, int]) -> bool:
    """Delete some of a chat's messages, and add their numbers to `done`; return whether there were any."""
    with transaction.atomic():
        Chat.objects.select_for_update(no_key=True).filter(pk=chat.pk).first()  # lock order: chat before messages
        some = list(Message.objects.filter(chat=chat).order_by("pk")[:AT_ONCE])
        names = [str(message.own_image) for message in some if message.own_image]
        discard_on_commit(*names)
        deleted = Message.objects.filter(pk__in=[message.pk for message in some]).delete()[1]
    done["messages"] += deleted.get("chats.Message", 0)
    done["pictures"] += len(names)
    return bool(some)


def _erase_events(person: Person) -> int:
    """Delete each event with the service that keeps counts and sessions exact."""
    total = 0
    for session in person.sessions:
        events = Event.objects.filter(session_id=session).order_by("timestamp", "id")
        while some := list(events[:AT_ONCE]):
            total += sum(services.delete_event(event=event) for event in some)
    return total


def _erase_empty_session(session_id: str) -> None:
    """Delete the row of a session without events.

    The digest adds an event under the same lock: either before, and the event is seen here, or afterwards, and then it
    creates a new row.
    """
    with transaction.atomic():
        session = Session.objects.select_for_update().filter(pk=session_id).first()
        if session is not None and not Event.objects.filter(session_id=session_id).exists():
            session.delete()


def _rejected(person: Person) -> Iterator[list[int]]:
    """Yield the ids of rejected events whose bytes contain the id of a session."""
    if not person.sessions:
        return
    wanted = [session.encode() for session in person.sessions]
    rows = RejectedEvent.objects.order_by("pk")
    last, newest = 0, rows.aggregate(newest=Max("pk"))["newest"] or 0
    while last < newest:
        found = list(rows.filter(pk__gt=last).values_list("pk", "raw")[:SCANNED])
        if not found:
            return
        last = found[-1][0]
        if ids := [pk for pk, raw in found if any(session in bytes(raw) for session in wanted)]:
            yield ids
