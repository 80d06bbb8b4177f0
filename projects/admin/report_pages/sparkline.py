"""Tasks done in each project in the fourteen days of a report, for its sparklines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from projects.admin.report_pages.chart import DAYS
from projects.models import Report


def with_sparks(report: Report) -> list[dict[str, Any]]:
    """Return the report's projects, each with the tasks `done` on each of the fourteen days up to the report's.

    A day is None if it has no report, or if the project is not in it.
    """
    days = [report.date - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    found = dict(Report.objects.filter(date__range=(days[0], days[-1])).values_list("date", "data__projects"))
    done = {day: {project["id"]: project["done_yesterday"] for project in rows} for day, rows in found.items()}
    rows = []
    for project in report.data["projects"]:
        numbers = [done.get(day, {}).get(project["id"]) for day in days]
        rows.append({**project, "done": numbers, "done_words": f"{sum(filter(None, numbers)):,} done in {DAYS} days"})
    return rows
