"""Sparkline of a project: one small bar per day for the tasks done in the fourteen days of the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from projects.admin.report_pages.chart import DAYS
from projects.models import Report

STEP, HEIGHT = 8, 24  # in the units of the SVG


@dataclass(frozen=True)
class SparklineBar:
    x: int
    height: float
    is_empty: bool

    @property
    def y(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True)
class Spark:
    """`done` has one number per day, or None if the day has no report or the project is not in it."""

    done: list[int | None]

    @property
    def bars(self) -> list[SparklineBar]:
        most = max((number or 0 for number in self.done), default=0) or 1
        return [
            SparklineBar(place * STEP, max((number or 0) / most * HEIGHT, 1), not number)
            for place, number in enumerate(self.done)
        ]

    @property
    def words(self) -> str:
        total = sum(number or 0 for number in self.done)
        return f"{total:,} done in {DAYS} days"

    @property
    def width(self) -> int:
        return STEP * DAYS

    @property
    def height(self) -> int:
        return HEIGHT


def with_sparks(report: Report) -> list[dict[str, Any]]:
    """Return the report's projects, each with a `spark` of the fourteen days up to the report's."""
    days = [report.date - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    told = dict(Report.objects.filter(date__range=(days[0], days[-1])).values_list("date", "data__projects"))
    done = {day: {project["id"]: project["done_yesterday"] for project in rows} for day, rows in told.items()}
    return [
        {**project, "spark": Spark([done.get(day, {}).get(project["id"]) for day in days])}
        for project in report.data["projects"]
    ]
