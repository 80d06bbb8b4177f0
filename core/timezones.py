"""Days, hours and times of day on the clock of a time zone.

A local day has 23 to 25 hours when clocks change, and no hours if the zone skipped that day. So intervals are never
computed by adding 24 hours: each boundary is found on the local clock. All intervals are half open.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo

from django.utils import timezone

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
LATEST = datetime.max.replace(tzinfo=UTC)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the start of a local day, in UTC; for a skipped day the time at which it is skipped."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def day_bounds(day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the half-open interval of a local day, in UTC."""
    return start_of_day(day, zone), start_of_day(day + DAY, zone)


def day_before(day: date, zone: tzinfo) -> date:
    """Return the previous day on the zone's calendar, which is an earlier date if the zone skipped one."""
    before = day - DAY
    while len(set(day_bounds(before, zone))) == 1:
        before -= DAY
    return before


def today(zone: tzinfo | None = None) -> tuple[datetime, datetime]:
    """Return the interval of the current day, in the given or the active zone."""
    zone = zone or timezone.get_current_timezone()
    return day_bounds(timezone.localdate(timezone=zone), zone)


def boundaries(start: datetime, end: datetime, step: timedelta, zone: tzinfo) -> Iterator[datetime]:
    """Yield boundaries on the local clock, from the one at or before `start` until the one at or after `end`, in UTC.

    Steps of whole days begin at midnight. Steps of several hours begin at multiples of their length, so a step with a
    clock change is shorter or longer. Steps of an hour or less end at a clock change: a repeated hour makes two.
    In the first and the last year that Python supports, the clock is UTC's.
    """
    if start.year == MINYEAR or end.year == MAXYEAR:
        zone = UTC
    if step >= DAY:
        return _days(start, end, step // DAY, zone)
    return _hours(start, end, step, zone) if step > HOUR else _minutes(start, end, step, zone)


def _days(start: datetime, end: datetime, days: int, zone: tzinfo) -> Iterator[datetime]:
    day = start.astimezone(zone).date()
    at = start_of_day(day, zone)
    yield at
    while at < end:
        if (date.max - day).days < days:
            yield end
            return
        day += timedelta(days=days)
        following = start_of_day(day, zone)
        if following > at:  # a skipped day has no length
            at = following
            yield at


def _hours(start: datetime, end: datetime, step: timedelta, zone: tzinfo) -> Iterator[datetime]:
    last: datetime | None = None
    for midnight in _days(start, end, 1, zone):
        day = midnight.astimezone(zone).date()
        for number in range(DAY // step):
            at = _moment(day, step * number, zone)
            if last is None or at <= start:
                last = at
            elif at > last:
                yield last
                last = at
                if at >= end:
                    yield at
                    return
    if last is not None:
        yield last


def _minutes(start: datetime, end: datetime, step: timedelta, zone: tzinfo) -> Iterator[datetime]:
    at = start.astimezone(UTC)
    at -= _into(at, step, zone)
    if change := _change_between(at, start, zone):
        at = change
    yield at
    while at < end:
        left = step - _into(at, step, zone)
        following = at + left if LATEST - at > left else end
        at = _change_between(at, following, zone) or following
        yield at


def _into(at: datetime, step: timedelta, zone: tzinfo) -> timedelta:
    """Return the time since the beginning of the current step on the local clock."""
    local = at.astimezone(zone)
    since_midnight = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return since_midnight % step


def _change_between(start: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """Return the time after `start` and not after `end` at which the UTC offset changes, to the second, or None."""
    offset = start.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == offset:
        return None
    before, after = start, end
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        before, after = (middle, after) if middle.astimezone(zone).utcoffset() == offset else (before, middle)
    return after


def _moment(day: date, since_midnight: timedelta, zone: tzinfo) -> datetime:
    """Return the timestamp of a time of day: the first of two, or the clock change for a skipped time."""
    clock = datetime.combine(day, time()) + since_midnight
    try:
        return valid_moments(clock, zone)[0]
    except MissingTime as missing:
        return missing.change


class MissingTime(ValueError):
    """A local time that a clock change skips. `change` is the time of the change, `following` the next valid time."""

    def __init__(self, clock: datetime, zone: tzinfo) -> None:
        begin = clock.replace(tzinfo=zone, fold=1, microsecond=0).astimezone(UTC)
        end = clock.replace(tzinfo=zone, fold=0).astimezone(UTC)
        self.change = _change_between(begin, end, zone) or end
        self.following = self.change.astimezone(zone).replace(tzinfo=None)
        super().__init__(
            f"The clocks in {zone_words(zone)} go forward on {clock.day} {clock:%B %Y}: this time does not exist."
            f" The next valid time is {shown(self.following)}."
        )


def valid_moments(clock: datetime, zone: tzinfo) -> list[datetime]:
    """Return the timestamps, in UTC, at which a zone's clocks show this time: one, or two in a repeated hour.

    Raises MissingTime if a clock change skips it, OverflowError near the years 1 and 9999.
    """
    clock = clock.replace(tzinfo=None)
    found = [clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    real = [at for at in found if at.astimezone(zone).replace(tzinfo=None, fold=0) == clock.replace(fold=0)]
    if not real:
        raise MissingTime(clock, zone)
    return sorted(set(real))


def same_clock_on(day: date, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the same time of day on another local day, in UTC; None for a day that the zone skipped.

    In a repeated hour it is the first of the two, and for a skipped time the next valid one.
    """
    begin, end = day_bounds(day, zone)
    if begin == end:
        return None
    local = moment.astimezone(zone)
    clock = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return _moment(day, clock, zone)


def is_repeated(local: datetime) -> bool:
    """Return whether the zone's clock shows this time twice on this day."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def as_local(at: datetime, zone: tzinfo) -> datetime:
    """Return the timestamp on the zone's clock, or in UTC if it is within hours of the first or the last year."""
    try:
        return at.astimezone(zone)
    except OverflowError:
        return at.astimezone(UTC)


def shown(clock: datetime) -> str:
    """Return a local time as text, such as "29 Mar 2026, 02:30"."""
    return f"{clock.day} {clock:%b %Y, %H:%M}"


def zone_words(zone: tzinfo) -> str:
    """Return the name of a zone as text, such as "America/New York"."""
    return str(zone).replace("_", " ")


def with_zone(moment: datetime, zone: tzinfo | None = None) -> str:
    """Return a timestamp on the clock of the given or the active zone, with the zone's abbreviation."""
    local = moment.astimezone(zone or timezone.get_current_timezone())
    return f"{shown(local)} {abbreviation(local)}"


def in_full(moment: datetime, zone: tzinfo) -> str:
    """Return a timestamp with weekday and zone, such as "Sunday 25 October 2026, 02:30 CET (Europe/Berlin)"."""
    local = moment.astimezone(zone)
    words = f"{local:%A} {local.day} {local:%B %Y, %H:%M} {abbreviation(local)}"
    return words if words.endswith(f" {zone_words(zone)}") else f"{words} ({zone_words(zone)})"


def abbreviation(local: datetime) -> str:
    """Return "CEST", or "UTC+10:30" for a zone whose abbreviations are digits."""
    name = local.tzname() or ""
    if name.isalpha():
        return name
    return f"UTC{offset(local)}"


def offset(local: datetime) -> str:
    """Return the UTC offset, such as "+05:30"."""
    digits = f"{local:%z}"
    return f"{digits[:3]}:{digits[3:5]}"
