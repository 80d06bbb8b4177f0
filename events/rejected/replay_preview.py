"""Dry run of a replay: its expected results, without changes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django.db.models import QuerySet

from events.models import Event, EventTombstone, RejectedEvent
from events.query.pages import all_pages, first_rows
from events.rejected.revalidation import Revalidator
from events.validation.errors import ValidationReason, place_of
from events.validation.event import Item

MAX_EVENTS = 10_000  # rejected events that are validated
SECONDS = 10.0  # time limit, because a user waits for the response
MAX_REASONS = 1_000  # different reasons that are counted; array indexes can produce any number of them
_AT_ONCE = 500  # rows in memory; fewer if they exceed MAX_PAGE_BYTES of events/query/pages.py


@dataclass
class ReasonCount:
    """A validation error with the number of its events and the id of one of them."""

    code: str
    pointer: str
    message: str
    count: int = 0
    sample: int = 0  # its id


class ReasonCounts(dict[tuple[str, str], ReasonCount]):
    """Validation errors counted by code and place."""

    def add(self, reason: ValidationReason, sample: int) -> None:
        key = (reason["code"], place_of(reason))
        if key in self or len(self) < MAX_REASONS:
            self.setdefault(key, ReasonCount(*key, reason["message"], sample=sample)).count += 1

    def by_count(self) -> list[ReasonCount]:
        return sorted(self.values(), key=lambda found: (-found.count, found.code, found.pointer))


@dataclass
class ReplayPreview:
    """The expected results of replaying `checked` events, newest first. If not `complete`, there are more events."""

    checked: int = 0
    accepted: int = 0
    duplicates: int = 0
    still_rejected: int = 0
    complete: bool = True
    reasons: list[ReasonCount] = field(default_factory=list)  # each event's first reason, most frequent first


def preview(
    rows: QuerySet[RejectedEvent], revalidator: Revalidator, *, most: int = MAX_EVENTS, seconds: float = SECONDS
) -> ReplayPreview:
    """Validate these rejected events again and return the results, without changing anything."""
    found, reasons = ReplayPreview(), ReasonCounts()
    until = time.monotonic() + seconds
    pages = all_pages(
        rows.order_by("-pk"),
        lambda row: (row.pk,),
        _AT_ONCE,
        lambda rows, size, _: first_rows([rows], size, "raw"),
        most,
    )
    for page in pages:
        revalidated = []
        for row in page:
            if time.monotonic() > until:
                break
            revalidated.append((row, revalidator.revalidate(row)))
        _add(found, reasons, revalidated)
        if len(revalidated) < len(page):
            found.complete = False
            return found
    found.complete = found.checked < most or rows.count() <= found.checked
    return found


def _add(found: ReplayPreview, reasons: ReasonCounts, revalidated: list[tuple[RejectedEvent, Item]]) -> None:
    right = [item for _, item in revalidated if not item.reasons]
    duplicates = _count_duplicates(right)
    found.checked += len(revalidated)
    found.duplicates += duplicates
    found.accepted += len(right) - duplicates
    found.still_rejected += len(revalidated) - len(right)
    for row, item in revalidated:
        if item.reasons:
            reasons.add(item.reasons[0], row.pk)
    found.reasons = reasons.by_count()


def _count_duplicates(items: list[Item]) -> int:
    """Count the items that are already stored, were deleted or moved, or are repeated in the list."""
    wanted = {(item.application, item.event_id, item.timestamp) for item in items}
    there = set()
    for model in (Event, EventTombstone):
        keys = model._default_manager.filter(
            application__in={item.application for item in items}, event_id__in={item.event_id for item in items}
        ).values_list("application_id", "event_id", "timestamp")
        there |= {(application, str(event_id), timestamp) for application, event_id, timestamp in keys}
    return len(items) - len(wanted - there)
