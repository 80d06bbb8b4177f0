"""Dry run of a schema: validation of stored and rejected events before the schema is published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from events.models import Application, Event, RejectedEvent
from events.query.pages import all_pages
from events.query.time_slices import TimeSlices
from events.rejected.replay_preview import ReasonCount, ReasonCounts, ReplayPreview, preview
from events.rejected.revalidation import Revalidator
from events.validation.schema_child import SchemaProcess, untrusted

LAST = 10_000
MAX_EVENTS = 100_000  # events per dry run
SECONDS = 10.0  # time limit, because a user waits for the response; half as long again for the rejected events
GRACE = 5.0  # seconds for the start of the child process and one late page
TOGETHER = 256  # events that the child process validates between two checks of the time limit
_AT_ONCE = 2_000  # rows in memory; fewer if they exceed MAX_PAGE_BYTES of events/query/pages.py


@dataclass
class DryRun:
    """Of the last `checked` events, `rejected` would be invalid. If not `complete`, the time limit was reached."""

    checked: int = 0
    rejected: int = 0
    complete: bool = True
    reasons: list[ReasonCount] = field(default_factory=list)  # each event's first validation error, most frequent first
    rejected_now: ReplayPreview = field(default_factory=ReplayPreview)  # a replay's expected results


def dry_run(*, category: str, name: str, schema: dict[str, Any], last: int = LAST, seconds: float = SECONDS) -> DryRun:
    """Validate the last `last` events of this type, and its rejected events, with `schema`.

    Raises SchemaError for an invalid schema.
    """
    with untrusted(schema, seconds * 2 + GRACE) as checker:
        found = _validated(checker, _newest(category, name, min(last, MAX_EVENTS)), time.monotonic() + seconds)
        # The index by type has the application as its first column.
        applications = list(Application.objects.values_list("pk", flat=True))
        rows = RejectedEvent.objects.filter(application_id__in=applications, category=category, name=name)
        revalidator = Revalidator({(category, name): checker})
        found.rejected_now = preview(rows, revalidator, most=last, seconds=seconds / 2)
    return found


def _validated(checker: SchemaProcess, events: Iterator[tuple[int, str]], until: float) -> DryRun:
    found, reasons = DryRun(), ReasonCounts()
    while some := list(islice(events, TOGETHER)):
        if found.checked and time.monotonic() > until:
            found.complete = False
            break
        found.checked += len(some)
        for (id, _), errors in zip(some, checker.validate_all([data.encode() for _, data in some]), strict=True):
            if errors:
                found.rejected += 1
                reasons.add(errors[0], id)
    found.reasons = reasons.by_count()
    return found


def _newest(category: str, name: str, most: int) -> Iterator[tuple[int, str]]:
    """Yield the newest events of a type as (id, data)."""
    events = Event.objects.filter(category=category, name=name).order_by("-timestamp", "-id")
    rows = events.values_list("id", "timestamp", Cast("data", TextField()))
    read = TimeSlices(category=category, name=name).first_rows
    for page in all_pages(rows, lambda row: (row[1], row[0]), _AT_ONCE, read, most):
        yield from ((id, data) for id, _, data in page)
