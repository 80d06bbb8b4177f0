"""The days of a month or week in the viewer's time zone, with the tasks due on each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, DateTimeField, F, Func, IntegerField, QuerySet, Value, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from django.utils.http import urlencode

from core.timezones import day_bounds
from projects.models import Task

MAX_TASKS = {"month": 20, "week": 100}  # per day; the rest is in the task list
EARLIEST, LATEST = date(1970, 1, 2), date(2999, 12, 1)  # valid in every time zone: see models/task.py


@dataclass(frozen=True)
class CalendarRange:
    """A week from Monday to Sunday, or a month with the whole weeks in which it begins and ends."""

    kind: str
    at: date

    @classmethod
    def of(cls, kind: str, at: str) -> CalendarRange:
        """Parse the query parameters of an address. Missing or invalid ones mean the month of today."""
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
    begin: datetime
    end: datetime

    @property
    def more(self) -> int:
        return self.count - len(self.tasks)

    @property
    def query(self) -> str:
        """Return the query string that filters the task list by this day."""
        return urlencode({"due_date__gte": self.begin.isoformat(sep=" "), "due_date__lt": self.end.isoformat(sep=" ")})


def days_of(span: CalendarRange, tasks: QuerySet[Task]) -> list[Day]:
    """Return every day of the span in order, each with its first due tasks and their total number."""
    every = [span.first + timedelta(days=number) for number in range((span.last - span.first).days + 1)]
    bounds = [day_bounds(each, timezone.get_current_timezone()) for each in every]
    begins = [begin for begin, _ in bounds]
    by_day: dict[date, list[Task]] = {}
    counts: dict[date, int] = {}
    due = tasks.filter(due_date__gte=begins[0], due_date__lt=bounds[-1][1])
    for task in _first_of_each_day(due, begins, MAX_TASKS[span.kind]):
        day = every[task.due_day - 1]
        by_day.setdefault(day, []).append(task)
        counts[day] = task.of_day
    today = timezone.localdate()
    month = span.at.month
    return [
        Day(
            date=each,
            tasks=by_day.get(each, []),
            is_outside=span.kind == "month" and each.month != month,
            is_today=each == today,
            count=counts.get(each, 0),
            begin=begin,
            end=end,
        )
        for each, (begin, end) in zip(every, bounds, strict=True)
    ]


def _first_of_each_day(tasks: QuerySet[Task], begins: list[datetime], most: int) -> QuerySet[Any]:
    """Annotate `due_day`, the number of the day from 1, and `of_day`, the number of tasks due on it.

    The days' bounds are computed by Python, because Postgres may not know the viewer's time zone.
    """
    edges = Value(begins, output_field=ArrayField(DateTimeField()))
    day = F("due_day")
    number = Func("due_date", edges, function="width_bucket", output_field=IntegerField())
    found = tasks.annotate(due_day=number).annotate(
        place=Window(RowNumber(), partition_by=day, order_by=["due_date", "id"]),
        of_day=Window(Count("id"), partition_by=day),
    )
    return found.filter(place__lte=most).order_by("due_date", "id")


def parse_day(given: str) -> date | None:
    """Parse a date such as 2026-11-21. Return None if it is invalid or outside EARLIEST to LATEST."""
    try:
        day = date.fromisoformat(given)
    except ValueError:
        return None
    return day if EARLIEST <= day <= LATEST else None


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
