"""How many events there were, as bars over a range: from the counts a minute, or from a session's own events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Max, Min
from django.utils import timezone

from events.admin.span import written
from events.admin.which import Which
from events.models import Event, Minute

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STEPS = [
    MINUTE, MINUTE * 2, MINUTE * 5, MINUTE * 10, MINUTE * 15, MINUTE * 30,
    HOUR, HOUR * 2, HOUR * 3, HOUR * 6, HOUR * 12,
    DAY, DAY * 2, DAY * 7, DAY * 14, DAY * 30, DAY * 91, DAY * 365, DAY * 3_650, DAY * 36_500,
]  # fmt: skip
MOST_BARS = 60
HEIGHT = 100  # of the picture's own units

FROM_MINUTES = """
    SELECT date_bin(%(step)s, minute, %(origin)s) AS at, sum(events)::bigint, sum(rejected)::bigint
      FROM events_minute
     WHERE minute >= %(start)s AND minute < %(end)s
       AND (%(application)s = 0 OR application_id = %(application)s)
       AND (%(category)s = '' OR category = %(category)s) AND (%(name)s = '' OR name = %(name)s)
     GROUP BY 1
"""
FROM_EVENTS = """
    SELECT date_bin(%(step)s, timestamp, %(origin)s) AS at, count(*), 0
      FROM events_event
     WHERE session_id = %(session)s AND timestamp >= %(start)s AND timestamp < %(end)s
       AND (%(application)s = 0 OR application_id = %(application)s)
       AND (%(category)s = '' OR category = %(category)s) AND (%(name)s = '' OR name = %(name)s)
     GROUP BY 1
"""


@dataclass(frozen=True)
class Bar:
    """One step of the range: how many, and how tall in the picture's units. `label` is in the viewer's zone."""

    start: datetime
    end: datetime
    events: int
    rejected: int
    tall: float
    tall_rejected: float
    label: str

    @property
    def top(self) -> float:
        return HEIGHT - self.tall - self.tall_rejected

    @property
    def top_rejected(self) -> float:
        return HEIGHT - self.tall_rejected

    @property
    def begins(self) -> str:
        return written(self.start)

    @property
    def ends(self) -> str:
        return written(self.end)


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    step: timedelta
    events: int
    rejected: int
    most: int

    @property
    def share(self) -> float:
        """The rejected of all that came, in percent."""
        return self.rejected * 100 / (self.events + self.rejected) if self.rejected else 0.0

    @property
    def labels(self) -> list[str]:
        """Five words below the picture: enough to read it, few enough for a narrow screen."""
        last = len(self.bars) - 1
        return [self.bars[round(last * part / 4)].label for part in range(5)] if self.bars else []


def chart_of(which: Which) -> Chart:
    """Count what the filters let through, the rejected among it by when they came."""
    start, end = _ends(which)
    step = next((step for step in STEPS if (end - start) / step <= MOST_BARS), STEPS[-1])
    origin = _origin(start, step)
    asked: dict[str, Any] = {
        "step": step, "origin": origin, "start": start, "end": end, "session": which.session,
        "application": which.application, "category": which.category, "name": which.name,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(FROM_EVENTS if which.session else FROM_MINUTES, asked)
        counts = {row[0]: (int(row[1]), int(row[2])) for row in cursor.fetchall()}
    return _drawn(counts, origin, step, end)


def _ends(which: Which) -> tuple[datetime, datetime]:
    """Return where the picture begins and ends. An open end is the first or last there is."""
    span, now = which.span, timezone.now()
    if span.start and (span.end or span.preset):
        return span.start, span.end or now
    found = _bounds(which)
    start = span.start or found[0] or now - DAY
    end = span.end or max(now, found[1] or now)
    return (start, end) if start < end else (end - HOUR, end)


def _bounds(which: Which) -> tuple[datetime | None, datetime | None]:
    if which.session:
        rows: Any = Event.objects.filter(session_id=which.session).aggregate(a=Min("timestamp"), z=Max("timestamp"))
    else:
        rows = Minute.objects.aggregate(a=Min("minute"), z=Max("minute"))
    return rows["a"], rows["z"] + MINUTE if rows["z"] else None


def _origin(start: datetime, step: timedelta) -> datetime:
    """Return the start of the first bar: a round time of day, or midnight, where the viewer is."""
    local = _local(start)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (local - midnight) // step * step if step < DAY else midnight


def _drawn(counts: dict[datetime, tuple[int, int]], origin: datetime, step: timedelta, end: datetime) -> Chart:
    most = max((sum(pair) for pair in counts.values()), default=0)
    bars, at = [], origin.astimezone(UTC)
    while at < end:
        events, rejected = counts.get(at, (0, 0))
        bars.append(_bar(at, step, events, rejected, max(most, 1)))
        at += step
    return Chart(bars, step, sum(bar.events for bar in bars), sum(bar.rejected for bar in bars), most)


def _bar(at: datetime, step: timedelta, events: int, rejected: int, most: int) -> Bar:
    local = _local(at)
    label = (
        f"{local:%H:%M}"
        if step < HOUR
        else f"{local.day} {local:%b %H:%M}"
        if step < DAY
        else f"{local.day} {local:%b %Y}"
    )
    return Bar(at, at + step, events, rejected, _tall(events, most), _tall(rejected, most), label)


def _local(at: datetime) -> datetime:
    """Return the moment where the viewer is, which may be before the first year that there is."""
    return timezone.localtime(at) if at.year > 1 else at.astimezone(UTC)


def _tall(number: int, most: int) -> float:
    """A bar of something is never too low to be seen."""
    return round(max(number / most * (HEIGHT - 4), 1.5), 2) if number else 0.0
