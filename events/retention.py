"""What is older than EVENT_RETENTION_DAYS goes: months as whole partitions, the rest in small transactions.

Everything ends at the same moment, the beginning of the month in which the retention ends: a session, a count a minute
and a rejected event are kept as long as the events of their time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from events import partitions
from events.months import month_of
from events.partitions import Partition

AT_ONCE = 5_000  # rows a transaction
SECONDS = 40.0  # in one task; the next one goes on

# Besides the partitions: table, key, and the time by which a row is old. All by an index.
_TABLES = {
    "events_event_default": ("id", "timestamp"),
    "events_session": ("session_id", "last_seen"),
    "events_minute": ("id", "minute"),
    "events_rejectedevent": ("id", "received_at"),
}
_COUNT = "SELECT count(*) FROM {table} WHERE {moment} < %s"
_DELETE = """
    DELETE FROM {table} WHERE {key} IN (
        SELECT {key} FROM {table} WHERE {moment} < %s ORDER BY {moment} LIMIT %s FOR UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True)
class Old:
    """What of a table is older than it may be. Of partitions, `rows` is an estimate."""

    table: str
    rows: int
    size: int | None = None  # bytes, of a partition that goes as a whole


def horizon(now: datetime | None = None) -> datetime | None:
    """Return the moment before which nothing is kept; None: everything is."""
    days = settings.EVENT_RETENTION_DAYS
    return month_of((now or timezone.now()) - timedelta(days=days)) if days else None


def what_would_go() -> Iterator[Old]:
    """Yield what `retain` would delete, table by table."""
    before = horizon()
    if before is None:
        return
    yield from (Old(month.name, month.rows, month.size) for month in _months_before(before))
    with connection.cursor() as cursor:
        for table, (_, moment) in _TABLES.items():
            cursor.execute(_COUNT.format(table=table, moment=moment), [before])
            yield Old(table, cursor.fetchone()[0])


def retain(seconds: float = SECONDS) -> list[Old]:
    """Delete what is too old, for about so long; return what that was. A partition in use is left for the next time."""
    before, until = horizon(), time.monotonic() + seconds
    if before is None:
        return []
    gone = [Old(month.name, month.rows, month.size) for month in _months_before(before) if partitions.drop(month)]
    for table in _TABLES:
        gone.append(Old(table, _delete(table, before, until)))
    return [one for one in gone if one.rows or one.size]


def _months_before(moment: datetime) -> list[Partition]:
    return [partition for partition in partitions.partitions() if partition.end <= moment]


def _delete(table: str, before: datetime, until: float) -> int:
    key, moment = _TABLES[table]
    deleted, last = 0, AT_ONCE
    while last == AT_ONCE and time.monotonic() < until:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_DELETE.format(table=table, key=key, moment=moment), [before, AT_ONCE])
            last = cursor.rowcount
        deleted += last
    return deleted
