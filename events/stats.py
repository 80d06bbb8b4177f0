"""How many events there were, interval by interval, from the counts a minute that the digest makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from events.models import Application

INTERVALS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
MOST_POINTS = 1_500  # intervals in one answer: a day of minutes, two months of hours, four years of days
MOST_SERIES = 20  # groups of their own; what is in others is summed up in one more
GROUPS = {"application": "application_id::text", "category": "category", "name": "category || ' / ' || name"}


@dataclass
class Series:
    """A group's counts, one for each of the times; `group` is None for all events, or for all other groups."""

    group: str | None
    events: list[int]
    rejected: list[int]


@dataclass
class Stats:
    interval: str
    times: list[datetime]  # where each interval begins, in UTC
    series: list[Series] = field(default_factory=list)  # most events first


def stats(
    *,
    start: datetime,
    end: datetime,
    interval: str = "hour",
    by: str | None = None,
    application: int | None = None,
    category: str | None = None,
    name: str | None = None,
) -> Stats:
    """Count events by when they happened, and rejected ones by when they came, from `start` until before `end`.

    Intervals begin at whole minutes, hours or days in UTC; the first and the last one are whole ones, too. `by` is one
    of GROUPS. Raises ValueError where that makes more than MOST_POINTS.
    """
    step = INTERVALS[interval]
    first = _floor(start, step)
    number = max(-((first - end) // step), 0)
    if number > MOST_POINTS:
        raise ValueError(f"That makes {number:,} intervals; {MOST_POINTS:,} are allowed. Take a longer interval.")
    times = [first + step * place for place in range(number)]
    wanted = {"application_id": application, "category": category, "name": name}
    filters = {column: value for column, value in wanted.items() if value is not None}
    rows = _rows(first, first + step * number, step, by, filters) if times else []
    return Stats(interval, times, _series(rows, number, by))


def _floor(moment: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // step * step


def _rows(first: datetime, end: datetime, step: timedelta, by: str | None, filters: dict[str, Any]) -> list[Any]:
    """Sum in Postgres: (place, group, events, rejected)."""
    conditions = "".join(f" AND {column} = %({column})s" for column in filters)
    query = f"""
        SELECT (extract(epoch FROM minute - %(first)s) / %(step)s)::int AS place, {GROUPS[by] if by else "NULL"},
               sum(events)::bigint, sum(rejected)::bigint
        FROM (
            SELECT date_bin(%(width)s, minute, %(first)s) AS minute, application_id, category, name,
                   events, rejected
            FROM events_minute WHERE minute >= %(first)s AND minute < %(end)s{conditions}
        ) AS counted
        GROUP BY 1, 2
    """  # noqa: S608  names of columns from this file
    values = {"first": first, "end": end, "step": step.total_seconds(), "width": step, **filters}
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def _series(rows: list[Any], number: int, by: str | None) -> list[Series]:
    totals: dict[str | None, int] = {}
    for _, group, events, rejected in rows:
        totals[group] = totals.get(group, 0) + events + rejected
    own = sorted(totals, key=lambda group: (-totals[group], group or ""))[:MOST_SERIES]
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
