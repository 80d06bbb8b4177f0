"""Beat's scheduler: django-celery-beat's, for a Postgres that may be away.

The parent asks Postgres for changes at each tick, and reads the whole schedule at its start and every five minutes. An
error there ends beat, and a server that keeps silent stops it for good. Here

1. a start waits until Postgres answers: without it no task could do anything;
2. later the last known schedule stays in use, and Postgres is asked again after REST seconds;
3. each statement of this process is abandoned after PATIENCE seconds, also where the server is silent.

Beat compares times of the clock, which may be set back: an entry whose last run lies in the future would not run before
that moment has passed, and would keep all entries behind it in the parent's heap from running. Such an entry is due
now, and the heap is made anew.
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
from config.processes.heartbeats import leave_sign_soon, take_back
from config.processes.pulse import CONNECTING, pulse

log = structlog.get_logger(__name__)

PATIENCE = 5.0  # seconds for a statement of beat's, each of which takes milliseconds
REST = 5.0  # seconds after a failure without another attempt
AWAY = (DatabaseError, InterfaceError)
REMOVED = ("tick",)  # entries of earlier versions, which are still in the table
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class SteadyEntry(ModelEntry):
    """An entry of the schedule whose last run is in the past."""

    last_run_at: datetime

    def is_due(self) -> Any:
        """Whether it is due, and in how many seconds to ask again."""
        if maybe_make_aware(self.last_run_at) > datetime.now(UTC):
            self.last_run_at = LONG_AGO
        return super().is_due()


class SteadyScheduler(DatabaseScheduler):
    """The schedule in Postgres, or the last one that was read from there."""

    Entry = SteadyEntry

    _schedule: dict[str, Any] | None  # None until it was read
    _last_timestamp: datetime | None
    _last_full_sync: datetime
    _heap: list[Any] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._rest_until = 0.0
        self._ticked_at = 0.0  # by the clock that may be set back
        extensions.set_wait_callback(_wait)
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Write the schedule of config/celery.py into Postgres and read what there is, as soon as Postgres answers."""
        with _ending_at_once():
            while not self._set_up():
                _beat()
                time.sleep(REST)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due; each round is beat's proof of progress."""
        _beat()
        before, self._ticked_at = self._ticked_at, time.time()
        if self._ticked_at < before:
            self._heap = None
            self._last_full_sync = self._last_full_sync.min
        return super().tick(*args, **kwargs)

    def _ensure_connected(self) -> Any:
        """Connect to the broker, however long it takes. The parent does so without a sign of progress."""
        with pulse.beating(CONNECTING) as attempt:

            def failed(error: Exception, interval: float) -> None:
                log.warning("schedule_waits_for_broker", error=str(error), seconds=interval)

            return self.connection.ensure_connection(failed, interval_max=MAX_RETRY_INTERVAL, callback=attempt)

    def close(self) -> None:
        """Write the schedule back, at the end of the process."""
        take_back("beat")
        super().close()

    def _set_up(self) -> bool:
        try:
            connection.ensure_connection()
            super().setup_schedule()
            self.Model.objects.filter(name__in=REMOVED).delete()
        except AWAY as error:
            log.warning("schedule_waits_for_postgres", error=str(error).strip())
        else:
            # The parent logs an entry that it cannot write, and continues without it.
            missing = set(self.app.conf.beat_schedule) - set(self.Model.objects.values_list("name", flat=True))
            if not missing:
                return True
            log.warning("schedule_incomplete", missing=sorted(missing))
        connection.close()
        self._initial_read, self._schedule = True, None
        return False

    @property
    def schedule(self) -> dict[str, Any]:
        """The entries by name: read again where they have changed, else the last ones."""
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
        self._rest_until = time.monotonic() + REST
        self._last_timestamp = None  # whatever changed meanwhile is read in full
        self._last_full_sync = self._last_full_sync.min
        connection.close()

    def schedule_changed(self) -> bool:
        """Whether an entry was changed in Postgres. Unlike the parent's, it raises where Postgres is away."""
        connection.close_if_unusable_or_obsolete()
        last, self._last_timestamp = self._last_timestamp, self.Changes.last_change()
        return bool(last and self._last_timestamp and self._last_timestamp > last)


def _beat() -> None:
    if pulse.beat():
        leave_sign_soon("beat")


def _wait(connected: Any) -> None:
    """Wait for the server as psycopg2 does, but not for ever."""
    until = time.monotonic() + PATIENCE
    while (state := connected.poll()) != extensions.POLL_OK:
        left = max(until - time.monotonic(), 0.0)
        reading = [connected] if state == extensions.POLL_READ else []
        writing = [connected] if state == extensions.POLL_WRITE else []
        if not any(select.select(reading, writing, [], left)):
            raise psycopg2.OperationalError(f"PostgreSQL did not answer within {PATIENCE:.0f} s")


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let SIGTERM end the process: beat's own handler writes the schedule back, and would wait for Postgres, too."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
