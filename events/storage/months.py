"""Calendar months in UTC: the partitions of the table of events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime


def month_of(moment: datetime) -> datetime:
    """Return the beginning of the month, in UTC, that contains this moment."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def following(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def months(first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the beginning of each month, from the month of `first` to the month of `last`."""
    month = month_of(first)
    while month <= last:
        yield month
        month = following(month)
