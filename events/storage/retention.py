"""What is older than EVENT_RETENTION_DAYS goes: months as whole partitions, the rest in small transactions.

Events, sessions and counts end at the same moment, the beginning of the month in which the retention ends. Rejected
events, which anybody with a write key can make, end after EVENT_REJECTED_RETENTION_DAYS.
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
from events.storage.months import month_of
from events.storage.partitions import Partition

log = structlog.get_logger(__name__)

AT_ONCE = 5_000  # rows a transaction
SECONDS = 40.0  # in one task; the next one goes on

# Besides the partitions: table, key, and the time by which a row is old. All by an index.
_TABLES = {
    "events_event_default": ("id", "timestamp"),
    "events_session": ("session_id", "last_seen"),
    "events_minute": ("id", "minute"),
    "events_arrival": ("id", "minute"),
    "events_eventtombstone": ("id", "timestamp"),  # the ingest rejects what is older, and so needs none
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
class Old:
    """What of a table is older than it may be. Of partitions, `rows` is an estimate."""

    table: str
    rows: int
    size: int | None = None  # bytes, of a partition that goes as a whole


def horizon(now: datetime | None = None) -> datetime | None:
    """Return the moment before which nothing is kept; None: everything is."""
    days = settings.EVENT_RETENTION_DAYS
    return month_of((now or timezone.now()) - timedelta(days=days)) if days else None


def rejected_horizon(now: datetime | None = None) -> datetime | None:
    """Return the moment before which no rejected event is kept; None: all are."""
    days, everything = settings.EVENT_REJECTED_RETENTION_DAYS, horizon(now)
    own = (now or timezone.now()) - timedelta(days=days) if days else None
    return max((moment for moment in (own, everything) if moment is not None), default=None)


def _ends() -> Iterator[tuple[str, str, str, datetime]]:
    """Yield the tables with their key, their moment, and before when their rows are old."""
    for tables, before in ((_TABLES, horizon()), (_REJECTED, rejected_horizon())):
        if before is not None:
            yield from ((table, key, moment, before) for table, (key, moment) in tables.items())


def what_would_go() -> Iterator[Old]:
    """Yield what `retain` would delete, table by table."""
    if before := horizon():
        yield from (Old(month.name, month.rows, month.size) for month in _months_before(before))
    with connection.cursor() as cursor:
        for table, _, moment, before in _ends():
            cursor.execute(_COUNT.format(table=table, moment=moment), [before])
            if rows := cursor.fetchone()[0]:
                yield Old(table, rows)


def retain(seconds: float = SECONDS) -> list[Old]:
    """Delete what is too old, for about so long; return what that was. What is in use is left for the next time."""
    before, until = horizon(), time.monotonic() + seconds
    months = _months_before(before) if before else []
    gone = [Old(month.name, month.rows, month.size) for month in months if partitions.drop(month)]
    for table, key, moment, end in _ends():
        gone.append(Old(table, _delete(table, key, moment, end, until)))
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
