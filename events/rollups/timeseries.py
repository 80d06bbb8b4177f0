"""Numbers of events per minute, hour or day, computed from the per-minute counts that the digest writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django.db import connection

from core.timezones import boundaries
from events.models import Application

INTERVALS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
MAX_POINTS = 1_500  # intervals in one response: a day of minutes, two months of hours, four years of days
MAX_SERIES = 20  # the largest groups get a series each; one more series sums up the others
GROUPS = {"application": "application_id::text", "category": "category", "name": "category || ' / ' || name"}


@dataclass
class Series:
    """The counts of one group, one number per interval.

    The series of all events, and the sum of the smaller groups, have the group None.
    """

    group: str | None
    events: list[int]
    rejected: list[int]


@dataclass
class TimeSeries:
    interval: str
    times: list[datetime]  # the beginning of each interval, in the requested zone
    series: list[Series] = field(default_factory=list)  # largest group first


def stats(
    *,
    start: datetime,
    end: datetime,
    interval: str = "hour",
    by: str | None = None,
    application: int | None = None,
    category: str | None = None,
    name: str | None = None,
    zone: tzinfo = UTC,
) -> TimeSeries:
    """Count events by their timestamp, and rejected events by their time of receipt: `start` ≤ time < `end`.

    Intervals begin at whole minutes, hours or days on the clock of `zone`. The first and the last interval are extended
    to whole ones. A day on which the clocks change has 23 to 25 hours, and a repeated hour is two intervals. `interval`
    is one of INTERVALS, `by` is one of GROUPS or None. Raises ValueError for more than MAX_POINTS intervals.
    """
    step = INTERVALS[interval]
    number = max(-((start - end) // step), 0)
    if number > MAX_POINTS:
        raise ValueError(f"That makes {number:,} intervals; {MAX_POINTS:,} are allowed. Take a longer interval.")
    edges = list(boundaries(start, end, step, zone)) if start < end else []
    rows = counts_between(edges, by=by, application_id=application, category=category, name=name) if edges else []
    times = [at.astimezone(zone) for at in edges[:-1]]
    return TimeSeries(interval, times, _series(rows, len(times), by))


def counts_between(edges: Sequence[datetime], *, by: str | None = None, **filters: Any) -> list[tuple[Any, ...]]:
    """Return the counts between these boundaries as (index of the interval, group, events, rejected).

    `filters` are columns of the per-minute counts; None means any value. Intervals without events are left out.
    """
    conditions = "".join(f" AND {column} = %({column})s" for column, value in filters.items() if value is not None)
    query = f"""
        SELECT width_bucket(minute, %(edges)s::timestamptz[]) - 1 AS place, {GROUPS[by] if by else "NULL"},
               sum(events)::bigint, sum(rejected)::bigint
        FROM events_minute WHERE minute >= %(first)s AND minute < %(end)s{conditions}
        GROUP BY 1, 2
    """  # noqa: S608  the names of the columns come from this file
    with connection.cursor() as cursor:
        cursor.execute(query, {"first": edges[0], "end": edges[-1], "edges": [*edges], **filters})
        return cursor.fetchall()


def _series(rows: list[Any], number: int, by: str | None) -> list[Series]:
    totals: dict[str | None, int] = {}
    for _, group, events, rejected in rows:
        totals[group] = totals.get(group, 0) + events + rejected
    own = sorted(totals, key=lambda group: (-totals[group], group or ""))[:MAX_SERIES]
    names = _names(own) if by == "application" else {}
    found = {group: Series(names.get(group, group), [0] * number, [0] * number) for group in own}
    rest = Series(None, [0] * number, [0] * number)
    for place, group, events, rejected in rows:
        series = found.get(group, rest)
        series.events[place] += events
        series.rejected[place] += rejected
    others = [rest] if len(totals) > len(own) or (not own and by is None) else []
    return [*found.values(), *others]


def _names(ids: list[str | None]) -> dict[str | None, str]:
    rows = Application.objects.filter(pk__in=[int(one) for one in ids if one is not None])
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}
