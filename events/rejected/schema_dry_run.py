"""Dry run of a schema: validation of stored and rejected events before the schema is published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from events.models import Application, Event, RejectedEvent
from events.query.pages import beyond, first_rows
from events.query.time_slices import Reach
from events.rejected.replay_preview import ReasonCount, Reasons, Rehearsal, rehearse
from events.rejected.revalidation import Revalidator
from events.validation.schema_child import Untrusted, untrusted

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
    rejected_now: Rehearsal = field(default_factory=Rehearsal)  # a replay's expected results


def dry_run(*, category: str, name: str, schema: dict[str, Any], last: int = LAST, seconds: float = SECONDS) -> DryRun:
    """Validate the last `last` events of this type, and its rejected events, with `schema`.

    Raises SchemaError for an invalid schema.
    """
    with untrusted(schema, seconds * 2 + GRACE) as checker:
        found = _judged(checker, _newest(category, name, min(last, MAX_EVENTS)), time.monotonic() + seconds)
        # The index by type has the application as its first column.
        applications = list(Application.objects.values_list("pk", flat=True))
        rows = RejectedEvent.objects.filter(application_id__in=applications, category=category, name=name)
        judge = Revalidator({(category, name): checker})
        found.rejected_now = rehearse(rows, judge, most=last, seconds=seconds / 2)
    return found


def _judged(checker: Untrusted, events: Iterator[tuple[int, str]], until: float) -> DryRun:
    found, reasons = DryRun(), Reasons()
    while some := list(islice(events, TOGETHER)):
        if found.checked and time.monotonic() > until:
            found.complete = False
            break
        found.checked += len(some)
        for (id, _), faults in zip(some, checker.judge_all([data.encode() for _, data in some]), strict=True):
            if faults:
                found.rejected += 1
                reasons.note(faults[0], id)
    found.reasons = reasons.by_count()
    return found


def _newest(category: str, name: str, most: int) -> Iterator[tuple[int, str]]:
    """Yield a type's events, newest first, page by page, so that no transaction or cursor stays open."""
    pages = Event.objects.filter(category=category, name=name).order_by("-timestamp", "-id")
    rows = pages.values_list("id", "timestamp", Cast("data", TextField()))
    reach, left = Reach(category=category, name=name), most
    page, more = first_rows(reach.parts(rows), min(left, _AT_ONCE))
    while page:
        yield from ((id, data) for id, _, data in page)
        left -= len(page)
        id, timestamp, _ = page[-1]
        rest = replace(reach, end=timestamp).parts(rows.filter(beyond("timestamp", timestamp, id)))
        page, more = first_rows(rest, min(left, _AT_ONCE)) if more and left else ([], False)
