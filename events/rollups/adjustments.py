"""Adjustments of sessions and per-minute counts when an event is changed, deleted, or accepted by a replay.

The digest counts events shortly after they are stored. Code that removes an event must know whether the event has been
counted: it has been if its batch no longer exists. So lock the batch first (`uncounted`). If a digest holds the batch,
the lock waits until that digest has deleted it. A digest that comes later skips the locked batch.

Locks are taken in the order of the digest: batches, sessions, minutes, and within each table in the order of its keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import F, Max, Min

from events.models import Batch, Event, Minute, RejectedEvent, Session
from events.models.event import BATCH_ROWS


class RollupKey(NamedTuple):
    """The unique key of a row of per-minute counts (`Minute`)."""

    minute: datetime
    application_id: int
    category: str
    name: str


def uncounted(ids: Iterable[int]) -> dict[int, Batch]:
    """Lock the batches of these events or rejected events. Return those that the digest has not counted yet, by id."""
    wanted = sorted({id // BATCH_ROWS for id in ids})
    return {batch.pk: batch for batch in Batch.objects.select_for_update().filter(pk__in=wanted).order_by("pk")}


def shrink(batch: Batch, *, events: int = 0, rejected: int = 0) -> None:
    """Subtract these numbers of events and rejected events from a batch that is locked and not yet counted."""
    left = batch.events - events
    bounds = {} if left else {"first_timestamp": None, "last_timestamp": None}
    Batch.objects.filter(pk=batch.pk).update(events=left, rejected=F("rejected") - rejected, **bounds)


def key_of(event: Event) -> RollupKey:
    return RollupKey(_minute(event.timestamp), event.application_id, event.category, event.name)


def key_of_rejected(event: RejectedEvent) -> RollupKey:
    return RollupKey(_minute(event.received_at), event.application_id, event.category, event.name)


def add(keys: Counter[RollupKey], field: str) -> None:
    """Add these numbers, which may be negative, to the per-minute counts. `field` is "events" or "rejected".

    A negative number is ignored if the retention has already deleted the row of its minute.
    """
    for key in sorted(keys):  # Python orders text by code points, like the digest's COLLATE "C"
        number = keys[key]
        if number < 0:
            Minute.objects.filter(**key._asdict(), **{f"{field}__gte": -number}).update(**{field: F(field) + number})
        elif number:
            row, made = Minute.objects.get_or_create(**key._asdict(), defaults={field: number})
            if not made:
                Minute.objects.filter(pk=row.pk).update(**{field: F(field) + number})


def change_session(session_id: str, number: int) -> None:
    """Update a session after its events have changed. `number` is the change of its event count, and may be negative.

    A session without events is deleted.
    """
    session = Session.objects.select_for_update().filter(pk=session_id).first()
    if session is None:
        return
    left = session.event_count + number
    bounds = Event.objects.filter(session_id=session_id).aggregate(first=Min("timestamp"), last=Max("timestamp"))
    if left <= 0 or bounds["first"] is None:
        session.delete()
        return
    session.event_count, session.first_seen, session.last_seen = left, bounds["first"], bounds["last"]
    session.save(update_fields=["event_count", "first_seen", "last_seen"])


def add_to_session(session_id: str, timestamp: datetime) -> None:
    """Count one more event in a session. Create the session if it does not exist."""
    new = {"first_seen": timestamp, "last_seen": timestamp, "event_count": 0}
    Session.objects.get_or_create(pk=session_id, defaults=new)
    change_session(session_id, 1)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
