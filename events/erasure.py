"""Erasure of a person's notifications, and of the events and rejected events of the person's sessions."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.models import Max, QuerySet

from core.data import erasure
from core.registry import Person
from events import services
from events.models import Event, Notification, RejectedEvent, Session

SCANNED = 2_000  # rejected events read per statement


def count(person: Person) -> dict[str, int]:
    """Count what `erase` would delete, by kind."""
    return {
        "notifications": _notifications(person).count(),
        "events": Event.objects.filter(session_id__in=person.sessions).count(),
        "rejected events": sum(len(ids) for ids in _rejected(person)),
        "sessions": Session.objects.filter(pk__in=person.sessions).count(),
    }


def erase(person: Person) -> dict[str, int]:
    """Delete everything; return by kind how many rows were deleted."""
    done = {"notifications": erasure.delete_in_batches(_notifications(person))}
    there = list(Session.objects.filter(pk__in=person.sessions).values_list("pk", flat=True))
    done["events"] = _erase_events(person)
    done["rejected events"] = sum(services.delete_rejected(ids=ids) for ids in _rejected(person))
    for session in there:
        _erase_empty_session(session)
    done["sessions"] = len(there) - Session.objects.filter(pk__in=there).count()
    return done


def _notifications(person: Person) -> QuerySet[Notification]:
    return Notification.objects.filter(user_id__in=person.spellings()).order_by("pk")


def _erase_events(person: Person) -> int:
    """Delete each event with the service that keeps counts and sessions exact."""
    total = 0
    for session in person.sessions:
        events = Event.objects.filter(session_id=session).order_by("timestamp", "id")
        while some := list(events[: erasure.AT_ONCE]):
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
