"""Bar chart of event counts over a range, from the per-minute counts or from a session's own events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, DateTimeField, Func, IntegerField, Max, Min, Value
from django.utils import timezone

from core.admin.chart import bar_height
from core.timezones import abbreviation, boundaries
from events.admin.explorer_filters import ExplorerFilters
from events.admin.time_range import utc_text
from events.models import Event, Minute
from events.rollups.timeseries import counts_between

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS = [
    MINUTE, MINUTE * 2, MINUTE * 5, MINUTE * 10, MINUTE * 15, MINUTE * 30,
    HOUR, HOUR * 2, HOUR * 3, HOUR * 6, HOUR * 12,
    DAY, DAY * 2, DAY * 7, DAY * 14, DAY * 30, DAY * 91, DAY * 365, DAY * 3_650, DAY * 36_500,
]  # fmt: skip
MAX_BARS = 60
HEIGHT = 100  # in the units of the SVG


@dataclass(frozen=True)
class ChartBar:
    """One step of the range: its counts, and its heights in the units of the SVG.

    `label` and `until`, its start and end, are in the viewer's time zone.
    """

    start: datetime
    end: datetime
    events: int
    rejected: int
    height: float
    height_rejected: float
    label: str
    until: str

    @property
    def top(self) -> float:
        return HEIGHT - self.height - self.height_rejected

    @property
    def top_rejected(self) -> float:
        return HEIGHT - self.height_rejected

    @property
    def begins(self) -> str:
        return utc_text(self.start)

    @property
    def ends(self) -> str:
        return utc_text(self.end)


@dataclass(frozen=True)
class EventChart:
    bars: list[ChartBar]
    step: timedelta
    events: int
    rejected: int
    most: int

    @property
    def share(self) -> float:
        """The percentage of rejected events."""
        return self.rejected * 100 / (self.events + self.rejected) if self.rejected else 0.0

    @property
    def labels(self) -> list[str]:
        """Five labels below the chart: enough to read it, few enough for a narrow screen."""
        last = len(self.bars) - 1
        return [self.bars[round(last * part / 4)].label for part in range(5)] if self.bars else []


def chart_of(filters: ExplorerFilters) -> EventChart:
    """Count the events that match the filters. Rejected ones are counted by arrival time."""
    start, end = _ends(filters)
    start, end = _rounded(start, end, SECOND if filters.session else MINUTE)  # counts are per minute, URLs have seconds
    step = next((step for step in STEPS if (end - start) / step <= MAX_BARS), STEPS[-1])
    edges = _edges(start, end, step)
    # Bars are as long as local days and hours, so Postgres counts between boundaries computed in local time.
    rows = _counts_of_session(filters, edges) if filters.session else counts_between(edges, **filters.members())
    return _drawn({place: (events, rejected) for place, _, events, rejected in rows}, edges, step)


def _counts_of_session(filters: ExplorerFilters, edges: list[datetime]) -> list[tuple[int, None, int, int]]:
    """Count the events of one session like `counts_between`, which has no counts of sessions."""
    place = Func(
        "timestamp", Value(edges, ArrayField(DateTimeField())), function="width_bucket", output_field=IntegerField()
    )
    events = filters.events().filter(timestamp__gte=edges[0], timestamp__lt=edges[-1])
    counted = events.order_by().annotate(place=place).values_list("place").annotate(Count("pk"))
    return [(number - 1, None, count, 0) for number, count in counted]


def _ends(filters: ExplorerFilters) -> tuple[datetime, datetime]:
    """Return the chart's start and end. An open end is the first or last time with events."""
    time_range, now = filters.time_range, timezone.now()
    if time_range.start and (time_range.end or time_range.preset):
        return time_range.start, time_range.end or now
    found = _bounds(filters)
    start = time_range.start or found[0] or now - DAY
    end = time_range.end or max(now, found[1] or now)
    return (start, end) if start < end else (end - HOUR, end)


def _bounds(filters: ExplorerFilters) -> tuple[datetime | None, datetime | None]:
    if filters.session:
        rows: Any = Event.objects.filter(session_id=filters.session).aggregate(a=Min("timestamp"), z=Max("timestamp"))
    else:
        rows = Minute.objects.aggregate(a=Min("minute"), z=Max("minute"))
    return rows["a"], rows["z"] + MINUTE if rows["z"] else None


def _rounded(start: datetime, end: datetime, unit: timedelta) -> tuple[datetime, datetime]:
    """Return the range extended to whole units."""
    began, rest = (start - EPOCH) % unit, (end - EPOCH) % unit
    return start - began, end + (unit - rest) if rest else end


def _edges(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Return the boundaries of the bars: round times and midnights in the viewer's time zone, and the range's ends."""
    inner = boundaries(start, end, step, timezone.get_current_timezone())
    return [start, *(at for at in inner if start < at < end), end]


def _drawn(counts: dict[int, tuple[int, int]], edges: list[datetime], step: timedelta) -> EventChart:
    most = max((sum(pair) for pair in counts.values()), default=0)
    ends = pairwise(edges)
    bars = [_bar(at, to, step, *counts.get(place, (0, 0)), max(most, 1)) for place, (at, to) in enumerate(ends)]
    return EventChart(bars, step, sum(bar.events for bar in bars), sum(bar.rejected for bar in bars), most)


def _bar(at: datetime, to: datetime, step: timedelta, events: int, rejected: int, most: int) -> ChartBar:
    label, until = _label(at, step), _label(to - SECOND if step >= DAY else to, step)
    return ChartBar(
        at,
        to,
        events,
        rejected,
        bar_height(events, most, HEIGHT - 4),
        bar_height(rejected, most, HEIGHT - 4),
        label,
        until,
    )


def _label(at: datetime, step: timedelta) -> str:
    """Return a time as a label in the viewer's time zone.

    Steps of days show only the date. Near a clock change, the zone's abbreviation is added.
    """
    local = _local(at)
    if step >= DAY:
        return f"{local.day} {local:%b %Y}"
    words = f"{local:%H:%M}" if step < HOUR else f"{local.day} {local:%b %H:%M}"
    near = {_local(at + hours).utcoffset() for hours in (-HOUR, HOUR)} if 1 < at.year < 9999 else set()
    return f"{words} {abbreviation(local)}" if len(near) > 1 else words


def _local(at: datetime) -> datetime:
    """Return the time in the viewer's time zone, or in UTC if it could be before the year 1 there."""
    return timezone.localtime(at) if at.year > 1 else at.astimezone(UTC)
