"""Time-slice search for events filtered by application or name. It uses the per-minute counts (rollups), because these
columns have no index of their own.

The newest fifty events of a quiet application, or of a rare name, may be spread over millions of other events. A scan
along the timestamps would read all of them. The per-minute counts show which minutes contain matching events, so only
those minutes are read, starting at the end where the page begins and only as many as the page needs.

1. Events that the digest has not counted yet lie in a recent interval, which is computed from the waiting batches. That
   interval is searched completely. It is computed first: events of a batch that the digest deletes afterwards are then
   already in the per-minute counts.
2. Before that interval, the minutes with matching events are looked up and read as stretches. Two minutes are joined
   into one stretch if reading the events between them takes less time than another query. That depends on how many
   events there are per minute.

An event that was received more than MAX_LATENESS after it happened is found as soon as it is counted, a second or two
later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet
from django.utils import timezone

from core.rest.pagination import Place, Rows
from events.models import Batch, Event, Minute
from events.query.pages import first_rows

FIRST_MINUTES, MAX_MINUTES = 100, 6_400  # minutes in the first lookup, and at most; each takes four times as many
EVENTS_PER_QUERY = 1_000  # events that are read in the time of one more query
SAMPLE = 500  # rows of the per-minute counts from which the number of events per minute is estimated
MAX_LATENESS = timedelta(hours=1)  # uncounted events with older timestamps are searched only if the digest is behind
MAX_DIGEST_LAG = timedelta(minutes=1)  # if the digest is further behind than this, all uncounted events are searched
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class TimeSlices:
    """The filters of a search without an index of its own; None or "" means any.

    `start` and `end` only limit the minutes that are looked up. They do not filter the events themselves.
    """

    application: int | None = None
    category: str | None = None
    name: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def first_rows(self, events: QuerySet[Event, Any], size: int, place: Place | None = None) -> Rows:
        """Return the first rows, and whether more follow. `events` is filtered, and ordered by its timestamp first.

        `place`, if given, begins with the timestamp after which the events begin.
        """
        newest_first = str(events.query.order_by[0]).startswith("-")
        slices = self if place is None else replace(self, **{"end" if newest_first else "start": place[0]})
        return first_rows(slices.parts(events, newest_first=newest_first), size)

    def parts(self, events: QuerySet[Event, Any], *, newest_first: bool = True) -> Iterator[QuerySet[Event, Any]]:
        """Yield the query set in parts, each restricted to a range of time, in the order of the search.

        It is yielded unchanged, as one part, if neither an application nor a name is given, because the other filters
        have an index.
        """
        if not (self.application or self.name):
            yield events
            return
        uncounted = _uncounted_since()
        is_in_range = uncounted and not (self.end and self.end < uncounted)
        latest = [events.filter(timestamp__gte=uncounted)] if is_in_range else []
        if newest_first:
            yield from latest
        for first, end in _stretches(self._minutes(uncounted), newest_first, _max_gap(self.end or uncounted)):
            yield events.filter(timestamp__gte=first, timestamp__lt=min(end, uncounted) if uncounted else end)
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


def _uncounted_since() -> datetime | None:
    """Return the earliest timestamp at which uncounted events are searched. None: all events are counted."""
    waiting = Batch.objects.aggregate(first=Min("first_timestamp"), since=Min("created_at"))
    if waiting["first"] is None:
        return None
    now = timezone.now()
    return waiting["first"] if waiting["since"] < now - MAX_DIGEST_LAG else max(waiting["first"], now - MAX_LATENESS)


def _max_gap(before: datetime | None) -> timedelta:
    """Return the longest gap between two minutes that are still read as one stretch.

    It is the time in which about EVENTS_PER_QUERY events of any kind happen, estimated from SAMPLE rows up to `before`.
    """
    minutes = Minute.objects.filter(minute__lte=before) if before else Minute.objects.all()
    sample = list(minutes.order_by("-minute").values_list("minute", "events")[:SAMPLE])
    if not sample:
        return MINUTE
    length = (sample[0][0] - sample[-1][0]) / MINUTE + 1
    a_minute = max(sum(events for _, events in sample) / length, 0.1)
    return MINUTE * max(EVENTS_PER_QUERY / a_minute, 1)


def _stretches(
    minutes: QuerySet[Minute], newest_first: bool, max_gap: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Yield stretches of minutes with events as (first moment, moment after the last one).

    The gaps between the stretches are longer than `max_gap`.
    """
    sign, after = ("-", "minute__lt") if newest_first else ("", "minute__gt")
    order = minutes.order_by(f"{sign}minute").values_list("minute", flat=True)
    at_once = FIRST_MINUTES
    found = list(order[:at_once])
    while found:
        first = last = found[0]
        for minute in found[1:]:
            if abs(minute - last) > max_gap:
                yield min(first, last), max(first, last) + MINUTE
                first = minute
            last = minute
        yield min(first, last), max(first, last) + MINUTE
        is_last, at_once = len(found) < at_once, min(at_once * 4, MAX_MINUTES)
        found = [] if is_last else list(order.filter(**{after: last})[:at_once])
