"""SVG chart of fourteen days of reports: tasks done and tasks overdue.

It is inline, so the page loads nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from projects.models import Report

DAYS = 14
SLOT, BAR, TOP, HEIGHT = 30, 16, 14, 110  # in the units of the SVG
WIDTH = SLOT * DAYS
FLOOR = TOP + HEIGHT


@dataclass(frozen=True)
class Slot:
    """One day of the chart: the bar shows `done`, the dot of the line shows `overdue`.

    Both values are unset (None) if the day has no report.
    """

    day: date
    done: int | None
    overdue: int | None
    middle: float
    bar_x: float
    bar_y: float
    bar_height: float
    dot_y: float


@dataclass(frozen=True)
class ReportChart:
    slots: list[Slot]
    most: int

    @property
    def line(self) -> str:
        """Return the SVG points of the line of overdue tasks. Days without a report are skipped."""
        return " ".join(f"{slot.middle},{slot.dot_y}" for slot in self.slots if slot.overdue is not None)

    @property
    def width(self) -> int:
        return WIDTH

    @property
    def floor(self) -> int:
        return FLOOR

    @property
    def label_y(self) -> int:
        return FLOOR + 15


def chart_until(last: date) -> ReportChart:
    """Return the chart of the fourteen days up to `last`, for all projects together."""
    first = last - timedelta(days=DAYS - 1)
    rows = Report.objects.filter(date__range=(first, last)).values_list("date", "data__totals")
    totals = {day: (int(found["done_yesterday"]), int(found["overdue"])) for day, found in rows}
    most = max((number for pair in totals.values() for number in pair), default=0)
    days = [first + timedelta(days=number) for number in range(DAYS)]
    return ReportChart([_slot(number, day, totals.get(day), max(most, 1)) for number, day in enumerate(days)], most)


def _slot(number: int, day: date, found: tuple[int, int] | None, most: int) -> Slot:
    done, overdue = found if found else (None, None)
    tall = round((done or 0) / most * HEIGHT, 1)
    middle = number * SLOT + SLOT / 2
    dot = round(FLOOR - (overdue or 0) / most * HEIGHT, 1)
    return Slot(day, done, overdue, middle, middle - BAR / 2, FLOOR - tall, tall, dot)
