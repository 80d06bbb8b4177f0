"""Deletes rows that are older than EVENT_RETENTION_DAYS: months as whole partitions, other rows in small transactions.

Events, sessions and per-minute counts have the same limit: the beginning of the month that lies EVENT_RETENTION_DAYS
ago. Rejected events are deleted after EVENT_REJECTED_RETENTION_DAYS, because anyone with a write key can create them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from events.storage import partitions
from events.storage.partitions import Partition, month_of

log = structlog.get_logger(__name__)

AT_ONCE = 5_000  # rows deleted per transaction
SECONDS = 40.0  # per task; the next task continues

# The tables besides the monthly partitions: {table: (key, column with the row's time)}. Each of these columns is
# indexed.
_TABLES = {
    "events_event_default": ("id", "timestamp"),
    "events_session": ("session_id", "last_seen"),
    "events_minute": ("id", "minute"),
    "events_arrival": ("id", "minute"),
    "events_eventtombstone": ("id", "timestamp"),  # the ingest rejects older events anyway
}
_REJECTED = {
    "events_rejectedevent": ("id", "received_at"),
    "events_rejectedday": ("id", "day"),
}
_COUNT = "SELECT count(*) FROM {table} WHERE {moment} < %s"
_DELETE = """
    DELETE FROM {table} WHERE {key} IN (
        SELECT {key} FROM {table} WHERE {moment} < %s ORDER BY {moment} LIMIT %s FOR UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True)
class ExpiredRows:
    """The expired rows of one table. For a monthly partition, `rows` is an estimate."""

    table: str
    rows: int
    size: int | None = None  # bytes; only for a partition, which is dropped as a whole


def horizon(now: datetime | None = None) -> datetime | None:
    """Return the moment before which all rows are expired. None: rows never expire."""
    days = settings.EVENT_RETENTION_DAYS
    return month_of((now or timezone.now()) - timedelta(days=days)) if days else None


def rejected_horizon(now: datetime | None = None) -> datetime | None:
    """Return the moment before which all rejected events are expired. None: they never expire."""
    days, everything = settings.EVENT_REJECTED_RETENTION_DAYS, horizon(now)
    own = (now or timezone.now()) - timedelta(days=days) if days else None
    return max((moment for moment in (own, everything) if moment is not None), default=None)


def _expiries() -> Iterator[tuple[str, str, str, datetime]]:
    """Yield (table, key, column with the row's time, moment before which its rows are expired)."""
    for tables, before in ((_TABLES, horizon()), (_REJECTED, rejected_horizon())):
        if before is not None:
            yield from ((table, key, moment, before) for table, (key, moment) in tables.items())


def expired_rows() -> Iterator[ExpiredRows]:
    """Yield the rows that `retain` would delete, for each table, without deleting them."""
    if before := horizon():
        yield from (ExpiredRows(month.name, month.rows, month.size) for month in _months_before(before))
    with connection.cursor() as cursor:
        for table, _, moment, before in _expiries():
            cursor.execute(_COUNT.format(table=table, moment=moment), [before])
            if rows := cursor.fetchone()[0]:
                yield ExpiredRows(table, rows)


def retain(seconds: float = SECONDS) -> list[ExpiredRows]:
    """Delete expired rows for about `seconds`; return what was deleted.

    Locked rows, and partitions whose lock is not available, are left for the next run.
    """
    before, until = horizon(), time.monotonic() + seconds
    months = _months_before(before) if before else []
    gone = [ExpiredRows(month.name, month.rows, month.size) for month in months if partitions.drop(month)]
    for table, key, moment, end in _expiries():
        gone.append(ExpiredRows(table, _delete(table, key, moment, end, until)))
    return [one for one in gone if one.rows or one.size]


def _months_before(moment: datetime) -> list[Partition]:
    return [partition for partition in partitions.partitions() if partition.end <= moment]


def _delete(table: str, key: str, moment: str, before: datetime, until: float) -> int:
    deleted, last = 0, AT_ONCE
    while last == AT_ONCE and time.monotonic() < until:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(_DELETE.format(table=table, key=key, moment=moment), [before, AT_ONCE])
                last = cursor.rowcount
        except DatabaseError:
            log.exception("events_retention_failed", table=table)
            break
        deleted += last
    return deleted
