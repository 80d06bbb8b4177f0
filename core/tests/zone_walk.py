"""Local days and hours found without arithmetic: by reading the clock of a zone minute by minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

MINUTE = timedelta(minutes=1)

# (zone, day on its calendar, number of hours of that day)
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("America/New_York", date(2026, 3, 8), 23),
    ("America/New_York", date(2026, 11, 1), 25),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ("Asia/Kolkata", date(2026, 5, 4), 24),
    ("Asia/Beirut", date(2026, 3, 29), 23),  # at midnight
    ("Pacific/Apia", date(2011, 12, 29), 24),  # the day after was skipped
]
IDS = [f"{zone} {day}" for zone, day, _ in CHANGES]
# For tests that take a second per day. The normal suite has one day of each kind: a repeated hour, a missing half hour,
# and a missing day.
_ORDINARY = {"Europe/Berlin 2026-10-25", "Australia/Lord_Howe 2026-10-04", "Pacific/Apia 2011-12-29"}
in_zones = pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        pytest.param(*change, id=name, marks=[] if name in _ORDINARY else [pytest.mark.thorough])
        for change, name in zip(CHANGES, IDS, strict=True)
    ],
)


def clock(zone: str, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(zone))


def minutes_around(day: date, days: int = 2) -> list[datetime]:
    """Return every minute from `days` before noon (UTC) of the day until `days` after it."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return [noon + MINUTE * number for number in range(-1440 * days, 1440 * days)]


def minutes_of(zone: str, day: date) -> list[datetime]:
    """Return every minute of a local day."""
    return [at for at in minutes_around(day) if clock(zone, at).date() == day]


def parts(zone: str, minutes: list[datetime], key) -> list[tuple[datetime, datetime]]:
    """Return the intervals of consecutive minutes for which `key` of the local time is the same."""
    found: list[tuple[object, datetime, datetime]] = []
    for at in minutes:
        now = key(clock(zone, at))
        if found and found[-1][0] == now:
            found[-1] = (now, found[-1][1], at + MINUTE)
        else:
            found.append((now, at, at + MINUTE))
    return [(begin, end) for _, begin, end in found]


def by_day(local: datetime) -> object:
    return local.date()


def by_hour(local: datetime) -> object:
    return local.date(), local.hour, local.utcoffset()
