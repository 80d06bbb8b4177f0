"""Keeping sessions and counts right when an event is changed, deleted, or stored after all.

Events are counted by the digest, a moment after they are stored. Whoever takes one away must know whether it has been
counted: it has if its batch is gone. So lock the batch first (`uncounted`). The digest that holds it is waited for and
leaves no batch behind; one that comes later waits, or passes it by.

Locks are taken in the digest's order: batches, sessions, minutes, each kind in the order of its keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import F, Max, Min

from events.models import Batch, Event, Minute, RejectedEvent, Session
from events.models.event import BATCH_ROWS


class Kind(NamedTuple):
    """A row of the counts: which minute, and of what."""

    minute: datetime
    application_id: int
    category: str
    name: str


def uncounted(ids: Iterable[int]) -> dict[int, Batch]:
    """Lock the batches of these events (or rejected events); return those that the digest has yet to count, by id."""
    wanted = sorted({id // BATCH_ROWS for id in ids})
    return {batch.pk: batch for batch in Batch.objects.select_for_update().filter(pk__in=wanted).order_by("pk")}


def shrink(batch: Batch, *, events: int = 0, rejected: int = 0) -> None:
    """Take that many events and rejected events from a batch that is locked and not yet counted."""
    left = batch.events - events
    span = {} if left else {"first_timestamp": None, "last_timestamp": None}
    Batch.objects.filter(pk=batch.pk).update(events=left, rejected=F("rejected") - rejected, **span)


def kind_of(event: Event) -> Kind:
    return Kind(_minute(event.timestamp), event.application_id, event.category, event.name)


def kind_of_rejected(event: RejectedEvent) -> Kind:
    return Kind(_minute(event.received_at), event.application_id, event.category, event.name)


def add(kinds: Counter[Kind], field: str) -> None:
    """Add (or take away, where negative) to the counts: `field` is "events" or "rejected".

    What is to be taken from a minute that retention has taken already is forgotten.
    """
    for kind in sorted(kinds):  # code points order as the digest's COLLATE "C" does
        number = kinds[kind]
        if number < 0:
            Minute.objects.filter(**kind._asdict(), **{f"{field}__gte": -number}).update(**{field: F(field) + number})
        elif number:
            row, made = Minute.objects.get_or_create(**kind._asdict(), defaults={field: number})
            if not made:
                Minute.objects.filter(pk=row.pk).update(**{field: F(field) + number})


def change_session(session_id: str, number: int) -> None:
    """Put a session right after its events have changed: `number` more are counted in it (less: negative).

    One without events is none.
    """
    session = Session.objects.select_for_update().filter(pk=session_id).first()
    if session is None:
        return
    left = session.event_count + number
    span = Event.objects.filter(session_id=session_id).aggregate(first=Min("timestamp"), last=Max("timestamp"))
    if left <= 0 or span["first"] is None:
        session.delete()
        return
    session.event_count, session.first_seen, session.last_seen = left, span["first"], span["last"]
    session.save(update_fields=["event_count", "first_seen", "last_seen"])


def add_to_session(session_id: str, timestamp: datetime) -> None:
    """Count one event more in a session."""
    session, made = Session.objects.select_for_update().get_or_create(
        pk=session_id, defaults={"first_seen": timestamp, "last_seen": timestamp, "event_count": 1}
    )
    if not made:
        session.first_seen, session.last_seen = min(session.first_seen, timestamp), max(session.last_seen, timestamp)
        session.event_count += 1
        session.save(update_fields=["event_count", "first_seen", "last_seen"])


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
