"""The monthly partitions of the table of events. They are created ahead of time and dropped as a whole.

The default partition takes the rows of all months without a partition. Adding a month blocks the ingest only for a
moment, even if the default partition already holds rows of that month. One transaction does it:

1. Lock the parent table in SHARE UPDATE EXCLUSIVE mode, so that no other process adds a partition at the same time. The
   ingest is not blocked by this lock.
2. Create a table like the parent. Lock the default partition, so that no transaction adds rows of the new month to it.
3. Move the rows of the month into the new table and attach it. Postgres scans the default partition for other rows of
   the month.

Dropping a partition locks the parent table itself. New commits of the ingest queue behind a transaction that waits for
that lock. LOCK_TIMEOUT therefore limits the wait; after a timeout the drop is tried again an hour later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.db import OperationalError, connection, transaction
from django.utils import timezone

log = structlog.get_logger(__name__)
AHEAD = timedelta(days=92)  # the current month and the three after it
LOCK_TIMEOUT = "500ms"  # lock timeout of a drop
MOVE_SECONDS = 300  # statement timeout; enough for a default partition with tens of millions of rows
_PREFIX = "events_event_y"

_LIST = """
    SELECT child.relname, pg_total_relation_size(child.oid), greatest(child.reltuples, 0)::bigint
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = 'events_event'::regclass AND child.relname ~ %s ORDER BY child.relname
"""
_CREATE = """
    CREATE TABLE {name} (LIKE events_event INCLUDING ALL);
    LOCK TABLE events_event_default IN ACCESS EXCLUSIVE MODE;
    WITH moved AS (
        DELETE FROM events_event_default WHERE timestamp >= %(first)s AND timestamp < %(end)s RETURNING *
    ) INSERT INTO {name} SELECT * FROM moved;
    ALTER TABLE events_event ATTACH PARTITION {name} FOR VALUES FROM (%(first)s) TO (%(end)s);
"""


def month_of(moment: datetime) -> datetime:
    """Return the beginning of the month, in UTC, that contains this moment."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def months(first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the beginning of each month, from the month of `first` to the month of `last`."""
    month = month_of(first)
    while month <= last:
        yield month
        month = next_month(month)


@dataclass(frozen=True)
class Partition:
    """The partition of one month: `first` ≤ timestamp < `end`.

    `rows` is an estimate by Postgres; `size` is in bytes, indexes included.
    """

    name: str
    first: datetime
    size: int
    rows: int

    @property
    def end(self) -> datetime:
        return next_month(self.first)


def lock_partitions() -> None:
    """Lock the partitions until the caller's transaction ends: rows stay where they are, and no month is dropped.

    Call this first in a transaction that must find every row. Without it, a statement can wait for the default
    partition while another transaction creates a month. That statement was planned without the new partition, so it
    would find the moved rows neither in the default partition nor in the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE ONLY events_event, events_event_default IN ACCESS SHARE MODE")


def is_partitioned() -> bool:
    """Whether the partitioned table of events exists. It may not while migrations are applied or reversed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class WHERE oid = to_regclass('events_event') AND relkind = 'p'")
        return cursor.fetchone() is not None


def partitions() -> list[Partition]:
    """Return the existing monthly partitions, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST, [rf"^{_PREFIX}\d{{4}}m\d\d$"])
        return [Partition(name, _first(name), size, rows) for name, size, rows in cursor.fetchall()]


def ensure_ahead() -> list[str]:
    """Create the missing partitions of the current month and the next ones (see AHEAD). Return their names."""
    now = timezone.now()
    return ensure(now, now + AHEAD)


def ensure(first: datetime, last: datetime) -> list[str]:
    """Create the missing partitions from the month of `first` to the month of `last`. Return their names.

    Raises OperationalError if a lock is not acquired before its timeout.
    """
    there = {partition.first for partition in partitions()}
    return [_create(month) for month in months(first, last) if month not in there]


def drop(partition: Partition) -> bool:
    """Drop a month with all its rows. Return False if the lock was not acquired within LOCK_TIMEOUT."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
            cursor.execute(f"DROP TABLE IF EXISTS {partition.name}")
    except OperationalError as error:
        log.warning("events_partition_busy", partition=partition.name, error=str(error).strip())
        return False
    return True


def _create(month: datetime) -> str:
    name = f"{_PREFIX}{month.year:04}m{month.month:02}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', '5s', true)")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{MOVE_SECONDS}s"])
        cursor.execute("LOCK TABLE events_event IN SHARE UPDATE EXCLUSIVE MODE")
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is None:  # otherwise another process has just created it
            cursor.execute(_CREATE.format(name=name), {"first": month, "end": next_month(month)})
    return name


def _first(name: str) -> datetime:
    year, month = name.removeprefix(_PREFIX).split("m")
    return datetime(int(year), int(month), 1, tzinfo=UTC)
