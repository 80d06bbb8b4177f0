"""Days of the viewer's zone, a month or a week of them, and what is due on each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber, TruncDate
from django.utils import timezone
from django.utils.http import urlencode

from projects.models import Task

MOST_TASKS = {"month": 20, "week": 100}  # a day; the rest is in the list
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
    count: int

    @property
    def more(self) -> int:
        return self.count - len(self.tasks)

    @property
    def query(self) -> str:
        """The day, as the list of tasks is asked for it."""
        begin, end = _midnight(self.date), _midnight(self.date + timedelta(days=1))
        return urlencode({"due_date__gte": begin.isoformat(sep=" "), "due_date__lt": end.isoformat(sep=" ")})


def days_of(span: Span, tasks: QuerySet[Task]) -> list[Day]:
    """Return every day of the span in order, with the first tasks due on it and how many there are."""
    begin, end = _midnight(span.first), _midnight(span.last + timedelta(days=1))
    by_day: dict[date, list[Task]] = {}
    counts: dict[date, int] = {}
    for task in _first_of_each_day(tasks.filter(due_date__gte=begin, due_date__lt=end), MOST_TASKS[span.kind]):
        by_day.setdefault(task.due_day, []).append(task)
        counts[task.due_day] = task.of_day
    today = timezone.localdate()
    every = [span.first + timedelta(days=number) for number in range((span.last - span.first).days + 1)]
    month = span.at.month
    return [
        Day(
            each, by_day.get(each, []), span.kind == "month" and each.month != month, each == today, counts.get(each, 0)
        )
        for each in every
    ]


def _first_of_each_day(tasks: QuerySet[Task], most: int) -> QuerySet[Any]:
    """Annotate `due_day` where the viewer is, and `of_day`, how many are due on it."""
    day = F("due_day")
    found = tasks.annotate(due_day=TruncDate("due_date", tzinfo=timezone.get_current_timezone())).annotate(
        place=Window(RowNumber(), partition_by=day, order_by=["due_date", "id"]),
        of_day=Window(Count("id"), partition_by=day),
    )
    return found.filter(place__lte=most).order_by("due_date", "id")


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
