"""The periodic tasks: each message expires, in the table that beat reads and on the broker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu import Exchange, Queue
from psycopg2 import extensions

from config.celery import app
from config.processes.scheduler import SteadyScheduler

pytestmark = pytest.mark.django_db(transaction=True)
SCHEDULE = app.conf.beat_schedule


@pytest.fixture
def scheduler() -> Iterator[SteadyScheduler]:
    app.loader.import_default_modules()
    scheduler = SteadyScheduler(app)
    yield scheduler
    scheduler._finalize.cancel()  # otherwise it would write to Postgres when this process ends
    scheduler.connection.close()
    extensions.set_wait_callback(None)  # beat's callback prevents COPY, which this test process uses


def test_every_entry_of_the_table_expires_within_about_a_period(scheduler):
    rows = {row.name: row for row in PeriodicTask.objects.filter(name__in=SCHEDULE)}

    assert set(rows) == set(SCHEDULE)
    for name, row in rows.items():
        period = row.schedule.run_every.total_seconds()
        assert row.expire_seconds is not None, name
        assert row.expire_seconds <= max(4 * period, period + 10), name
        assert row.expires is None


def test_a_table_written_before_messages_expired_is_brought_up_to_date(scheduler):
    PeriodicTask.objects.update(expire_seconds=None)

    scheduler.setup_schedule()

    assert not PeriodicTask.objects.filter(name__in=SCHEDULE, expire_seconds=None).exists()


@pytest.mark.parametrize("name", sorted(SCHEDULE))
def test_the_message_on_the_broker_expires(scheduler, name):
    entry = scheduler.schedule[name]
    mark = f"scheduled-{uuid4().hex[:8]}"
    with app.connection_for_write() as connection:
        queue = Queue(mark, Exchange(mark), routing_key=mark, expires=60)(connection)
        queue.declare()
        entry.options |= {"exchange": mark, "routing_key": mark}

        scheduler.apply_async(entry, producer=app.amqp.Producer(connection), advance=False)

        message = next(message for message in iter(lambda: queue.get(), ...) if message is not None)
        message.ack()
        queue.delete()
    seconds = SCHEDULE[name]["options"]["expire_seconds"]
    left = datetime.fromisoformat(message.headers["expires"]) - datetime.now(UTC)
    assert timedelta(seconds=seconds - 10) < left <= timedelta(seconds=seconds)
    if app.connection().transport.driver_type == "amqp":  # RabbitMQ drops it, even without a worker
        assert message.properties["expiration"] == str(seconds * 1000)


def test_every_task_is_sent_again_after_a_clock_that_was_ahead_has_been_set_right(scheduler, monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr(scheduler, "apply_async", lambda entry, **_: sent.append(entry.name))

    def tick(clock: Any, seconds: float) -> set[str]:
        clock.shift(seconds)
        sent.clear()
        for _ in range(3 * len(SCHEDULE)):  # each tick sends one
            scheduler.tick()
        return set(sent)

    with time_machine.travel(timezone.now() + timedelta(hours=5)) as clock:
        assert tick(clock, 2 * 3_600) >= set(SCHEDULE)

        assert tick(clock, -6 * 3_600) >= set(SCHEDULE)
        assert tick(clock, 10) >= {"digest", "sweep test runs", "notify"}


def test_every_task_is_sent_by_a_beat_that_starts_after_a_clock_was_set_right(scheduler):
    PeriodicTask.objects.update(last_run_at=timezone.now() + timedelta(hours=5))
    PeriodicTasks.update_changed()

    schedule = SteadyScheduler(app).schedule

    assert all(schedule[name].is_due().is_due for name in SCHEDULE)
    assert not any(next(schedule[name]).is_due().is_due for name in SCHEDULE)
