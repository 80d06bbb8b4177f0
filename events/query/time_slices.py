"""Where along the time events lie that no index finds: those of an application, or of a name.

An application that sends little among others that send much, or a name among many of its category: the newest fifty may
be spread over millions, and whoever walks along the time reads them all. The counts a minute know which minutes hold
some, so only those are read: as many as a page needs, from its end on.

1. What the digest has yet to count is as young as its batches say, and is searched as it is. That is asked first: a
   batch that has gone by the time the minutes are read is in them.
2. Before that, minutes that hold some are looked up, and read as stretches. Two of them are one stretch where what lies
   between is read sooner than another question is asked: that is a matter of how much comes in a minute.

An event that came more than LATE after it happened is found once it is counted, a second or two later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet
from django.utils import timezone

from events.models import Batch, Event, Minute

FIRST_MINUTES, MAX_MINUTES = 100, 6_400  # minutes looked up at once: four times as many each time
ASKING = 1_000  # events that are read in the time that another question takes
SAMPLE = 500  # rows of the counts that tell how much comes in a minute
LATE = timedelta(hours=1)
BEHIND = timedelta(minutes=1)  # a digest that is further behind counts nothing soon: all that waits is searched
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Reach:
    """Which events are asked for: None or "" is any. `start` and `end` bound the search, and filter nothing."""

    application: int | None = None
    category: str | None = None
    name: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def parts(self, events: QuerySet[Event, Any], *, newest_first: bool = True) -> Iterator[QuerySet[Event, Any]]:
        """Yield these events in parts that follow each other in time, in that order; each is as it was but for that.

        `events` are filtered already. Where they have an index of their own, that is one part with all of them.
        """
        if not (self.application or self.name):
            yield events
            return
        young = _young()
        latest = [events.filter(timestamp__gte=young)] if young and not (self.end and self.end < young) else []
        if newest_first:
            yield from latest
        for first, end in _stretches(self._minutes(young), newest_first, _bridged(self.end or young)):
            yield events.filter(timestamp__gte=first, timestamp__lt=min(end, young) if young else end)
        if not newest_first:
            yield from latest

    def _minutes(self, before: datetime | None) -> QuerySet[Minute]:
        wanted = {"application": self.application, "category": self.category, "name": self.name}
        minutes = Minute.objects.filter(events__gt=0, **{name: value for name, value in wanted.items() if value})
        if before:
            minutes = minutes.filter(minute__lt=before)
        if self.start:
            minutes = minutes.filter(minute__gte=self.start.replace(second=0, microsecond=0))
        return minutes.filter(minute__lte=self.end) if self.end else minutes


def _young() -> datetime | None:
    """Return since when there may be events that are not counted yet; None: all are counted."""
    waiting = Batch.objects.aggregate(first=Min("first_timestamp"), since=Min("created_at"))
    if waiting["first"] is None:
        return None
    now = timezone.now()
    return waiting["first"] if waiting["since"] < now - BEHIND else max(waiting["first"], now - LATE)


def _bridged(before: datetime | None) -> timedelta:
    """Return how far apart two minutes may be to be read as one: by what came at that time, of whatever kind."""
    minutes = Minute.objects.filter(minute__lte=before) if before else Minute.objects.all()
    sample = list(minutes.order_by("-minute").values_list("minute", "events")[:SAMPLE])
    if not sample:
        return MINUTE
    length = (sample[0][0] - sample[-1][0]) / MINUTE + 1
    a_minute = max(sum(events for _, events in sample) / length, 0.1)
    return MINUTE * max(ASKING / a_minute, 1)


def _stretches(
    minutes: QuerySet[Minute], newest_first: bool, bridged: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Yield from when until before when there are some, the gaps between them longer than what is bridged."""
    sign, beyond = ("-", "minute__lt") if newest_first else ("", "minute__gt")
    order = minutes.order_by(f"{sign}minute").values_list("minute", flat=True)
    at_once = FIRST_MINUTES
    found = list(order[:at_once])
    while found:
        first = last = found[0]
        for minute in found[1:]:
            if abs(minute - last) > bridged:
                yield min(first, last), max(first, last) + MINUTE
                first = minute
            last = minute
        yield min(first, last), max(first, last) + MINUTE
        is_last, at_once = len(found) < at_once, min(at_once * 4, MAX_MINUTES)
        found = [] if is_last else list(order.filter(**{beyond: last})[:at_once])
