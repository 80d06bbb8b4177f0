"""The explorer's filters, parsed from the URL's query parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from core.numerals import number
from events.admin.time_range import TimeRange
from events.models import Event, EventType, Minute
from events.query.time_slices import TimeSlices

MAX_TEXT_LENGTH = 100  # characters of a session, category or name
BETWEEN = " / "  # separates category and name in one field; each may contain it too


@dataclass(frozen=True)
class ExplorerFilters:
    """The values of the filters. An empty text or 0 means "any"."""

    time_range: TimeRange
    application: int
    category: str
    name: str
    session: str

    @classmethod
    def of(cls, asked: Any) -> ExplorerFilters:
        category, name = text(asked, "category"), text(asked, "name")
        typed = text(asked, "type", MAX_TEXT_LENGTH * 2 + len(BETWEEN))
        if typed and not category:
            category, name = _divided(typed)
        return cls(TimeRange.of(asked), number(asked.get("application", "")), category, name, text(asked, "session"))

    @property
    def type(self) -> str:
        return f"{self.category}{BETWEEN}{self.name}" if self.name else self.category

    @property
    def is_on(self) -> bool:
        return bool(self.application or self.category or self.session)

    def members(self) -> dict[str, Any]:
        """Return the filters that per-minute counts have, too; None means any value."""
        return {
            "application_id": self.application or None,
            "category": self.category or None,
            "name": self.name or None,
        }

    def events(self) -> QuerySet[Event]:
        """Return the matching events, unordered. Every filter has an index or is combined with one that has."""
        exact = {**self.members(), "session_id": self.session or None}
        found = Event.objects.filter(**{field: value for field, value in exact.items() if value is not None})
        if self.time_range.start:
            found = found.filter(timestamp__gte=self.time_range.start)
        return found.filter(timestamp__lt=self.time_range.end) if self.time_range.end else found

    def time_slices(self) -> TimeSlices:
        """Return the filters that have no index."""
        if self.session:
            return TimeSlices()
        return TimeSlices(self.application, self.category, self.name, self.time_range.start, self.time_range.end)

    def as_query(self, **more: Any) -> str:
        """Return the URL query with `more` merged in. Unset (None) values are omitted."""
        parts: dict[str, Any] = {
            "application": self.application or None,
            "category": self.category or None,
            "name": self.name or None,
            "session": self.session or None,
            **self.time_range.as_query(),
        }
        if {"range", "from", "to"} & set(more):
            parts = {name: value for name, value in parts.items() if name not in ("range", "from", "to")}
        return urlencode({name: value for name, value in {**parts, **more}.items() if value is not None})


def _divided(typed: str) -> tuple[str, str]:
    """Split a typed text into category and name. Of several possible splits, return one that exists."""
    parts = typed.split(BETWEEN)
    ways = [(BETWEEN.join(parts[:at]), BETWEEN.join(parts[at:])) for at in range(1, len(parts))]
    for category, name in ways:
        if any(kinds.objects.filter(category=category, name=name).exists() for kinds in (EventType, Minute)):
            return category, name
    if not ways or Event.objects.filter(category=typed).exists():
        return typed, ""
    return ways[0]


def text(asked: Any, name: str, longest: int = MAX_TEXT_LENGTH) -> str:
    """Return a text parameter without NUL, cut to `longest` characters."""
    return str(asked.get(name, "")).replace("\x00", "")[:longest]
