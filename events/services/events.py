"""Services that change stored events: they update sessions and counts and record the user in the log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Greatest, Least

from core.database.deadlocks import retried
from events.models import Batch, Event, RejectedEvent, Session
from events.models.event import BATCH_ROWS
from events.rejected.deletion import delete_rejected_rows
from events.rejected.revalidation import Revalidator
from events.rollups import adjustments
from events.services.history import ChangeRefused
from events.storage import partitions, tombstones
from events.validation.errors import ValidationReason

_FIELDS = ("session_id", "category", "name", "data", "timestamp")
_COUNTED = frozenset(_FIELDS) - {"data"}  # the fields on which sessions and counts depend


class InvalidEvent(Exception):
    """The changed event would be invalid. `reasons` has the validation errors as the ingest would return them."""

    def __init__(self, reasons: list[ValidationReason]) -> None:
        super().__init__("; ".join(f"{reason['pointer']}: {reason['message']}" for reason in reasons))
        self.reasons = reasons


@retried
def update_event(*, event: Event, actor: Any = None, **changes: Any) -> Event:
    """Set `session_id`, `category`, `name`, `data` or `timestamp`. Return the event as it is now.

    If a client sends it again with its earlier timestamp, it is a duplicate (events/storage/tombstones.py). Raises
    Event.DoesNotExist if it was deleted, Wrong if the ingest would reject it, ChangeRefused if its application has
    another event with that id and time.
    """
    if unknown := set(changes) - set(_FIELDS):
        raise ValueError(f"Not to be set on an event: {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        before = lock_event(event.pk).get()
        found = {name: value for name, value in changes.items() if _differ(getattr(before, name), value)}
        if not found:
            return before
        if reasons := Revalidator().reasons(before, found):
            raise InvalidEvent(reasons)
        batch = adjustments.uncounted([before.pk]).get(before.pk // BATCH_ROWS)
        _write(before, found)
        after = Event.objects.get(pk=before.pk)
        if after.timestamp != before.timestamp:
            tombstones.moved(before, after)
        if batch is not None:
            _widen(batch, after)
        elif _COUNTED & set(found):
            _count_anew(before, after)
        _log(after, CHANGE, actor, f"Changed {', '.join(sorted(found))}.")
    return after


@retried
def delete_event(*, event: Event, actor: Any = None) -> bool:
    """Delete an event. Return whether it existed. If sent again, it is a duplicate (events/storage/tombstones.py)."""
    with transaction.atomic():
        found = lock_event(event.pk).first()
        if found is None:
            return False
        batch = adjustments.uncounted([found.pk]).get(found.pk // BATCH_ROWS)
        Event.objects.filter(pk=found.pk).delete()
        tombstones.erased(found)
        if batch is not None:
            adjustments.shrink(batch, events=1)
        else:
            adjustments.change_session(found.session_id, -1)
            adjustments.add(Counter({adjustments.key_of(found): -1}), "events")
        _log(found, DELETION, actor, f"Deleted {found.event_id}.")
    return True


@retried
def delete_rejected(*, ids: list[int], among: QuerySet[RejectedEvent] | None = None, actor: Any = None) -> int:
    """Delete these rejected events. Return how many existed. The log has one entry for all of them.

    With `among`, those that have left this queryset are kept, because a replay may have found another reason.
    """
    with transaction.atomic():
        found = RejectedEvent.objects.all() if among is None else among
        rows = list(found.select_for_update().filter(pk__in=ids).defer("raw", "reasons").order_by("pk"))
        counted = delete_rejected_rows(rows)
        if rows:
            number = f"{len(rows):,} rejected events, such as " if len(rows) > 1 else ""
            _log(rows[0], DELETION, actor, f"Deleted {number}{rows[0].category} / {rows[0].name}: {rows[0]}.")
        adjustments.add(counted, "rejected")
    return len(rows)


def _differ(one: Any, other: Any) -> bool:
    """Compare JSON values as JSON: 1 is not true, and the order of members does not matter. Other values use !=."""
    if isinstance(one, dict | list):
        return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
    return bool(one != other)


def lock_event(pk: int) -> QuerySet[Event]:
    """Return a queryset of the event, or of nothing, locked until the caller's transaction ends.

    Changes of one event are serialised by an advisory lock. With row locks only, a transaction that waits for a row
    which another one moves to another month's partition would get an error from Postgres, not the row.
    """
    partitions.lock_partitions()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('events_event', %s))", [pk])
    return Event.objects.select_for_update().filter(pk=pk)


def _write(before: Event, found: dict[str, Any]) -> None:
    try:
        with transaction.atomic():
            Event.objects.filter(pk=before.pk).update(**found)
    except IntegrityError as error:
        if "event_id" not in str(error):
            raise
        raise ChangeRefused("The application has sent an event of this id and time already.") from error


def _count_anew(before: Event, after: Event) -> None:
    sessions = sorted({before.session_id, after.session_id})
    list(Session.objects.select_for_update().filter(pk__in=sessions).order_by("pk"))  # both, before either is changed
    if before.session_id == after.session_id:
        adjustments.change_session(after.session_id, 0)
    else:
        adjustments.change_session(before.session_id, -1)
        adjustments.add_to_session(after.session_id, after.timestamp)
    moved = Counter({adjustments.key_of(before): -1})
    moved[adjustments.key_of(after)] += 1
    adjustments.add(moved, "events")


def _widen(batch: Batch, event: Event) -> None:
    """Extend the batch's time range, so that the digest finds the event at its new time."""
    Batch.objects.filter(pk=batch.pk).update(
        first_timestamp=Least("first_timestamp", Value(event.timestamp)),
        last_timestamp=Greatest("last_timestamp", Value(event.timestamp)),
    )


def _log(row: Event | RejectedEvent, verb: int, actor: Any, words: str) -> None:
    """Write to the admin's log, which the REST API also uses.

    Changes without an actor are Opsroom's own and not logged.
    """
    if actor is not None:
        LogEntry.objects.log_actions(actor.pk, [row], verb, words, single_object=True)
