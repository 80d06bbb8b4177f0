"""The partitions of the events' table: a month each, made ahead of time, dropped as a whole.

The default partition takes what no month has room for. A month is added without stopping the ingest for longer than a
moment, also where rows of it lie in the default partition already; all in one transaction:

1. Lock the parent against others who do the same (SHARE UPDATE EXCLUSIVE). The ingest does not mind.
2. Make a table like the parent, and lock the default partition: nobody adds a row to it that belongs elsewhere.
3. Move the rows of the month over, and attach. Postgres looks through the default partition for others.

To drop a partition the parent itself must be locked, so that new commits of the ingest queue behind whoever waits for
that lock. Hence LOCK_PATIENCE: who does not get it soon enough tries again an hour later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from events.storage.months import following, months

log = structlog.get_logger(__name__)
AHEAD = timedelta(days=92)  # three months besides the present one
LOCK_PATIENCE = "500ms"
MOVE_SECONDS = 300  # a default partition with tens of millions of rows
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


@dataclass(frozen=True)
class Partition:
    """A month's: from `first` until before `end`. `rows` is what Postgres estimates; `size` is in bytes."""

    name: str
    first: datetime
    size: int
    rows: int

    @property
    def end(self) -> datetime:
        return following(self.first)


def hold() -> None:
    """Let no rows leave the default partition before the caller's transaction ends, nor any month be dropped.

    A statement that waits for the default partition has been planned already, without the month that is being made:
    it would find the rows neither here nor there. Whoever must find each row calls this first.
    """
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE ONLY events_event, events_event_default IN ACCESS SHARE MODE")


def is_partitioned() -> bool:
    """Whether there is a table to add months to: not so while migrations are on their way forth or back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class WHERE oid = to_regclass('events_event') AND relkind = 'p'")
        return cursor.fetchone() is not None


def partitions() -> list[Partition]:
    """Return the months that there are, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST, [rf"^{_PREFIX}\d{{4}}m\d\d$"])
        return [Partition(name, _first(name), size, rows) for name, size, rows in cursor.fetchall()]


def ensure_ahead() -> list[str]:
    """Make the present month and the next ones; return the names of those that were not there."""
    now = timezone.now()
    return ensure(now, now + AHEAD)


def ensure(first: datetime, last: datetime) -> list[str]:
    """Make the months from that of `first` to that of `last`; return the names of those that were not there.

    Raises OperationalError where a lock cannot be had soon.
    """
    there = {partition.first for partition in partitions()}
    return [_create(month) for month in months(first, last) if month not in there]


def drop(partition: Partition) -> bool:
    """Drop a month with all its rows; False where the lock could not be had soon."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_PATIENCE])
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
        if cursor.fetchone()[0] is None:  # else somebody else was quicker
            cursor.execute(_CREATE.format(name=name), {"first": month, "end": following(month)})
    return name


def _first(name: str) -> datetime:
    year, month = name.removeprefix(_PREFIX).split("m")
    return datetime(int(year), int(month), 1, tzinfo=UTC)
