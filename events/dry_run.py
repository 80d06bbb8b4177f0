"""What would become of the last events of a type under another schema, before anybody publishes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from events.keyset import older
from events.models import Event
from events.schema_check import compiled, pointer

LAST = 10_000
MOST = 100_000  # events that one dry run looks at
SECONDS = 10.0  # and for how long: somebody waits for the answer
_AT_ONCE = 2_000  # rows in memory
_MOST_REASONS = 1_000  # different ones that are counted; an array's places may make any number of them


@dataclass
class Reason:
    """Why events would be rejected: how many, and one of them."""

    code: str
    pointer: str
    message: str
    count: int = 0
    sample: int = 0  # an event's id


@dataclass
class DryRun:
    """Of the last `checked` events `rejected` would be wrong. Not `complete`: time ran out before all were checked."""

    checked: int = 0
    rejected: int = 0
    complete: bool = True
    reasons: list[Reason] = field(default_factory=list)  # of the first fault of each, most frequent first


def dry_run(*, category: str, name: str, schema: dict[str, Any], last: int = LAST, seconds: float = SECONDS) -> DryRun:
    """Check the last `last` events of this type against `schema`. Raises SchemaError for what is no schema."""
    validator = compiled(schema)
    found = DryRun()
    reasons: dict[tuple[str, str], Reason] = {}
    until = time.monotonic() + seconds
    for id, data in _newest(category, name, min(last, MOST)):
        if found.checked % 256 == 255 and time.monotonic() > until:
            found.complete = False
            break
        found.checked += 1
        if validator.is_valid(data):
            continue
        found.rejected += 1
        error = next(iter(validator.iter_errors(data)))
        place = "/data" + pointer(error.instance_path)
        key = (error.kind.name, place)
        if key in reasons or len(reasons) < _MOST_REASONS:
            reasons.setdefault(key, Reason(*key, error.message, sample=id)).count += 1
    found.reasons = sorted(reasons.values(), key=lambda reason: (-reason.count, reason.code, reason.pointer))
    return found


def _newest(category: str, name: str, most: int) -> Iterator[tuple[int, Any]]:
    """Events of a type, newest first, page by page along the index: no transaction and no cursor is kept open."""
    pages = Event.objects.filter(category=category, name=name).order_by("-timestamp", "-id")
    rows = pages.values_list("id", "timestamp", "data")
    left = most
    page = list(rows[: min(left, _AT_ONCE)])
    while page:
        yield from ((id, data) for id, _, data in page)
        left -= len(page)
        id, timestamp, _ = page[-1]
        page = list(rows.filter(older(timestamp, id))[: min(left, _AT_ONCE)]) if left else []
