"""Celery beat's scheduler: django-celery-beat's, made robust against an unreachable Postgres.

The base class checks Postgres for changes at each tick, and reads the whole schedule at its start and every five
minutes. An error there ends beat, and a server that does not respond blocks it forever. This class differs:

1. The start waits until Postgres responds: without it no task could do anything.
2. Later the last known schedule stays in use, and Postgres is asked again after RETRY_INTERVAL seconds.
3. Each statement of this process is abandoned after STATEMENT_TIMEOUT seconds, even if the server does not respond.

Beat compares system clock times, and the clock may be set back. An entry whose last run is in the future would not run
until then, and would block all entries behind it in the base class's heap. Such an entry is due now, and the heap is
rebuilt.
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
import structlog
from celery.utils.time import maybe_make_aware
from django.db import DatabaseError, InterfaceError, connection
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from psycopg2 import extensions

from config.processes.consumer import MAX_RETRY_INTERVAL
from config.processes.heartbeats import remove_heartbeat, write_heartbeat_soon
from config.processes.watchdog_client import CONNECT_TIMEOUT, watchdog

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT = 5.0  # seconds per statement; each normally takes milliseconds
RETRY_INTERVAL = 5.0  # seconds until the next attempt after a failure
AWAY = (DatabaseError, InterfaceError)
REMOVED = ("tick",)  # entries of earlier versions that may still be in the table
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class SteadyEntry(ModelEntry):
    """Schedule entry that treats a last run in the future as long ago."""

    last_run_at: datetime

    def is_due(self) -> Any:
        """Return whether the entry is due, and after how many seconds to check again."""
        if maybe_make_aware(self.last_run_at) > datetime.now(UTC):
            self.last_run_at = LONG_AGO
        return super().is_due()


class SteadyScheduler(DatabaseScheduler):
    """The schedule in Postgres, or the last one that was read."""

    Entry = SteadyEntry

    _schedule: dict[str, Any] | None  # None until it is read
    _last_timestamp: datetime | None
    _last_full_sync: datetime
    _heap: list[Any] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._rest_until = 0.0
        self._ticked_at = 0.0  # by the system clock, which may be set back
        extensions.set_wait_callback(_wait)
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Write the registered schedule into Postgres and read the result, as soon as Postgres responds."""
        with _ending_at_once():
            while not self._set_up():
                _beat()
                time.sleep(RETRY_INTERVAL)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send the due tasks; each tick is beat's proof of progress."""
        _beat()
        before, self._ticked_at = self._ticked_at, time.time()
        if self._ticked_at < before:
            self._heap = None
            self._last_full_sync = self._last_full_sync.min
        return super().tick(*args, **kwargs)

    def _ensure_connected(self) -> Any:
        """Connect to the broker, however long it takes. Unlike the base class, prove progress meanwhile."""
        with watchdog.reporting_progress(CONNECT_TIMEOUT) as attempt:

            def failed(error: Exception, interval: float) -> None:
                log.warning("schedule_waits_for_broker", error=str(error), seconds=interval)

            return self.connection.ensure_connection(failed, interval_max=MAX_RETRY_INTERVAL, callback=attempt)

    def close(self) -> None:
        """Write the schedule back when the process ends."""
        remove_heartbeat("beat")
        super().close()

    def _set_up(self) -> bool:
        try:
            connection.ensure_connection()
            super().setup_schedule()
            self.Model.objects.filter(name__in=REMOVED).delete()
        except AWAY as error:
            log.warning("schedule_waits_for_postgres", error=str(error).strip())
        else:
            # The base class logs an entry that it cannot write, and continues without it.
            missing = set(self.app.conf.beat_schedule) - set(self.Model.objects.values_list("name", flat=True))
            if not missing:
                return True
            log.warning("schedule_incomplete", missing=sorted(missing))
        connection.close()
        self._initial_read, self._schedule = True, None
        return False

    @property
    def schedule(self) -> dict[str, Any]:
        """The entries by name: read again after a change, else the last ones."""
        if self._schedule is not None and time.monotonic() < self._rest_until:
            return self._schedule
        try:
            return super().schedule
        except AWAY as error:
            if self._schedule is None:
                raise
            self._keep(error)
            return self._schedule

    def _keep(self, error: Exception) -> None:
        log.warning("schedule_kept", error=str(error).strip())
        self._rest_until = time.monotonic() + RETRY_INTERVAL
        self._last_timestamp = None  # the whole schedule is read again, with all changes
        self._last_full_sync = self._last_full_sync.min
        connection.close()

    def schedule_changed(self) -> bool:
        """Return whether an entry was changed in Postgres. Unlike the base class, raise if Postgres is unreachable."""
        connection.close_if_unusable_or_obsolete()
        last, self._last_timestamp = self._last_timestamp, self.Changes.last_change()
        return bool(last and self._last_timestamp and self._last_timestamp > last)


def _beat() -> None:
    if watchdog.report_progress():
        write_heartbeat_soon("beat")


def _wait(connected: Any) -> None:
    """psycopg2's wait callback: waits for the server, but at most STATEMENT_TIMEOUT seconds."""
    until = time.monotonic() + STATEMENT_TIMEOUT
    while (state := connected.poll()) != extensions.POLL_OK:
        left = max(until - time.monotonic(), 0.0)
        reading = [connected] if state == extensions.POLL_READ else []
        writing = [connected] if state == extensions.POLL_WRITE else []
        if not any(select.select(reading, writing, [], left)):
            raise psycopg2.OperationalError(f"PostgreSQL did not answer within {STATEMENT_TIMEOUT:.0f} s")


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let SIGTERM end the process at once: beat's own handler writes the schedule back and would wait for Postgres."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
