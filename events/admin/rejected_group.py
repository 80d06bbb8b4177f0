"""The key of a group of rejected events, as used in URLs, and the queries of its page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from core.numerals import number
from events.admin.explorer_filters import text
from events.models import EventType, RejectedEvent, RejectedMute
from events.rejected.groups import RejectedGroup
from events.rejected.selection import Selection

DRAWN = 24  # bars per sparkline

# One index scan per group.
COUNTS = """
    SELECT wanted.place,
           least(floor(extract(epoch FROM rejected_event.received_at - %(start)s) / %(width)s), %(last)s)::int, count(*)
      FROM unnest(%(application)s::bigint[], %(category)s::text[], %(name)s::text[], %(code)s::text[],
                  %(pointer)s::text[]) WITH ORDINALITY
           AS wanted (application, category, name, code, pointer, place)
      JOIN events_rejectedevent AS rejected_event
        ON rejected_event.application_id = wanted.application AND rejected_event.category = wanted.category
       AND rejected_event.name = wanted.name AND rejected_event.code = wanted.code
       AND rejected_event.pointer = wanted.pointer
     WHERE rejected_event.received_at >= %(start)s
     GROUP BY 1, 2
"""


@dataclass(frozen=True)
class GroupKey:
    """The values that the events of a group share. Every value is exact; an empty text matches only empty texts."""

    application: int
    category: str
    name: str
    code: str
    pointer: str

    @classmethod
    def of(cls, asked: Any) -> GroupKey:
        return cls(
            number(asked.get("application", "")),
            text(asked, "category"),
            text(asked, "name"),
            text(asked, "code", 50),
            text(asked, "pointer", 300),
        )

    @classmethod
    def like(cls, row: RejectedGroup | RejectedMute | RejectedEvent) -> GroupKey:
        application = row.application if isinstance(row, RejectedGroup) else row.application_id
        return cls(application, row.category, row.name, row.code, row.pointer)

    @property
    def query(self) -> str:
        return urlencode(asdict(self))

    @property
    def type(self) -> str:
        return " / ".join(part for part in (self.category, self.name) if part)

    def rows(self) -> QuerySet[RejectedEvent]:
        return RejectedEvent.objects.filter(**asdict(self))

    def selection(self) -> Selection:
        return Selection(**asdict(self))

    def event_type(self) -> EventType | None:
        return EventType.objects.filter(category=self.category, name=self.name).first() if self.name else None

    def mute(self) -> RejectedMute | None:
        return RejectedMute.objects.filter(**asdict(self)).first()


def counts_of_groups(keys: list[GroupKey], start: datetime | None) -> list[list[int]]:
    """Return each group's counts in DRAWN equal parts of the time from `start` until now."""
    now = timezone.now()
    start = start or now - timedelta(days=30)
    width = max((now - start).total_seconds() / DRAWN, 1)
    columns = {part.name: [getattr(key, part.name) for key in keys] for part in fields(GroupKey)}
    found = [[0] * DRAWN for _ in keys]
    with connection.cursor() as cursor:
        cursor.execute(COUNTS, {**columns, "start": start, "width": width, "last": DRAWN - 1})
        for place, part, count in cursor.fetchall():
            found[place - 1][part] = count
    return found
