"""Days of the viewer's zone, a month or a week of them, and what is due on each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from projects.models import Task

MOST_TASKS = 1_000  # a page
EARLIEST, LATEST = date(1970, 1, 2), date(2999, 12, 1)  # in every zone something can be due then: models/task.py


@dataclass(frozen=True)
class Span:
    """A month (with the weeks that it begins and ends in) or a week, beginning on Mondays."""

    kind: str
    at: date

    @classmethod
    def of(cls, kind: str, at: str) -> Span:
        """Read what an address names; today's month where it names nothing, or nonsense."""
        return cls("week" if kind == "week" else "month", parse_day(at) or timezone.localdate())

    @property
    def first(self) -> date:
        begin = self.at if self.kind == "week" else self.at.replace(day=1)
        return begin - timedelta(days=begin.weekday())

    @property
    def last(self) -> date:
        if self.kind == "week":
            return self.first + timedelta(days=6)
        end = _next_month(self.at) - timedelta(days=1)
        return end + timedelta(days=6 - end.weekday())

    @property
    def before(self) -> date:
        return self.first - timedelta(days=7) if self.kind == "week" else (self.at.replace(day=1) - timedelta(days=1))

    @property
    def after(self) -> date:
        return self.first + timedelta(days=7) if self.kind == "week" else _next_month(self.at)

    @property
    def words(self) -> str:
        if self.kind == "month":
            return f"{self.at:%B %Y}"
        return f"{self.first.day} {self.first:%b} – {self.last.day} {self.last:%b %Y}"


@dataclass(frozen=True)
class Day:
    date: date
    tasks: list[Task]
    is_outside: bool
    is_today: bool


def days_of(span: Span, tasks: QuerySet[Task]) -> list[Day]:
    """Return every day of the span with the tasks due on it, in order."""
    begin, end = _midnight(span.first), _midnight(span.last + timedelta(days=1))
    by_day: dict[date, list[Task]] = {}
    for task in tasks.filter(due_date__gte=begin, due_date__lt=end).order_by("due_date", "id")[:MOST_TASKS]:
        by_day.setdefault(timezone.localtime(task.due_date).date(), []).append(task)
    today = timezone.localdate()
    every = [span.first + timedelta(days=number) for number in range((span.last - span.first).days + 1)]
    month = span.at.month
    return [
        Day(each, by_day.get(each, []), span.kind == "month" and each.month != month, each == today) for each in every
    ]


def parse_day(given: str) -> date | None:
    """Read 2026-11-21; None for what is no day, or one that no calendar needs."""
    try:
        day = date.fromisoformat(given)
    except ValueError:
        return None
    return day if EARLIEST <= day <= LATEST else None


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.get_current_timezone()).astimezone(UTC)
