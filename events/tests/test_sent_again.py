"""An event that was erased, or moved to another time, does not come back when its sender sends it again."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from django.db import connection, transaction
from django.utils import timezone

from core.tests.interleaving import interleave
from events import services
from events.factories import ApplicationFactory, RejectedEventFactory
from events.ingest import db_thread
from events.ingest.bulk_insert import EXECUTE, MIN_COPY_EVENTS, PREPARE, InsertBatch, Store
from events.models import Application, Event, EventTombstone, Minute, Session
from events.rejected import backfill
from events.rollups import digest
from events.storage import retention
from events.tests.counting import assert_all_counted
from events.tests.sending import committed
from events.validation.event import Item, read
from events.validation.rules import ApplicationSettings, Rules

HOUR = timedelta(hours=1)
SIZES = pytest.mark.parametrize("others", [0, MIN_COPY_EVENTS], ids=["in a statement", "in a copy"])


@pytest.fixture
def own() -> Any:
    """A connection of the ingest."""
    opened = psycopg2.connect(**db_thread.connection_parameters("test"))
    opened.autocommit = True
    yield opened
    opened.close()


@pytest.fixture
def application() -> Application:
    return ApplicationFactory()


class Resent:
    """One event, sent as often as needed, among others that are new each time."""

    def __init__(self, own: Any, application: Application, others: int) -> None:
        self.own, self.application, self.others = own, application, others
        self.moment = timezone.now() - timedelta(minutes=1)
        self.number = 0

    def items(self) -> list[Item]:
        self.number += 1
        ids = [UUID(int=7), *(UUID(int=self.number * 1_000 + place) for place in range(self.others))]
        bodies = [
            {"event_id": str(id), "session_id": "mine", "category": "a", "name": "b", "data": {},
             "timestamp": self.moment.isoformat()} for id in ids
        ]  # fmt: skip
        rules = Rules.for_application(ApplicationSettings(self.application.pk), {})
        return read(json.dumps(bodies).encode(), rules)

    def send(self) -> list[str]:
        """Return the status of the event, and those of the others."""
        return Store().write(self.own, self.items())

    @property
    def stored(self) -> Any:
        return Event.objects.filter(event_id=UUID(int=7))


@pytest.fixture
def resent(own, application, others) -> Resent:
    return Resent(own, application, others)


def erase(event: Event) -> None:
    services.delete_event(event=event)


def move(event: Event) -> None:
    services.update_event(event=event, timestamp=event.timestamp - HOUR)


def move_to_another_month(event: Event) -> None:
    services.update_event(event=event, timestamp=event.timestamp - timedelta(days=40))


CHANGES = pytest.mark.parametrize(("change", "left"), [(erase, 0), (move, 1), (move_to_another_month, 1)])


@committed
@SIZES
@CHANGES
def test_it_is_a_duplicate_when_it_is_sent_again(change, left, resent, others):
    assert resent.send() == ["accepted"] * (1 + others)

    change(resent.stored.get())

    assert resent.send() == ["duplicate", *["accepted"] * others]
    assert resent.stored.count() == left
    digest.run()
    assert_all_counted()


@committed
@pytest.mark.parametrize("others", [0])
def test_it_is_a_duplicate_for_a_replay_too(resent, others):
    resent.send()
    erase(resent.stored.get())
    items = resent.items()

    with transaction.atomic():
        assert backfill.store(items[:1]) == ["duplicate"]

    assert resent.stored.count() == 0


@committed
@pytest.mark.parametrize("others", [0])
def test_a_dry_run_of_a_replay_counts_it_as_a_duplicate(resent, others):
    resent.send()
    erase(resent.stored.get())
    [item] = resent.items()
    rejected = RejectedEventFactory(application=resent.application, event_id=UUID(int=7), raw=item.raw)

    found = services.preview_replay(selection=services.Selection(ids=(rejected.pk,)))

    assert (found.accepted, found.duplicates) == (0, 1)


@committed
@pytest.mark.parametrize("others", [0])
def test_an_event_can_be_moved_back(resent, others):
    resent.send()
    moved = services.update_event(event=resent.stored.get(), timestamp=resent.moment - HOUR)

    services.update_event(event=moved, timestamp=resent.moment)

    assert resent.stored.get().timestamp == resent.moment
    assert EventTombstone.objects.get().timestamp == resent.moment - HOUR
    assert resent.send() == ["duplicate"]
    digest.run()
    assert resent.stored.count() == 1
    assert_all_counted()


@committed
@pytest.mark.parametrize("others", [0])
def test_the_same_event_of_another_application_or_with_another_time_is_stored(resent, others):
    resent.send()
    erase(resent.stored.get())

    resent.application = ApplicationFactory()
    assert resent.send() == ["accepted"]
    resent.application, resent.moment = Application.objects.first(), resent.moment - HOUR
    assert resent.send() == ["accepted"]


@committed
@pytest.mark.parametrize("others", [0])
def test_an_application_whose_events_were_erased_can_be_deleted(resent, others):
    resent.send()
    digest.run()
    erase(resent.stored.get())

    services.delete_application(application=resent.application)

    assert not EventTombstone.objects.exists()


@pytest.mark.django_db
def test_a_tombstone_is_kept_as_long_as_an_event_of_that_time_would_be_taken(application, settings):
    settings.EVENT_RETENTION_DAYS = 100
    for days in (1, 99, 140):
        EventTombstone.objects.create(
            application=application, event_id=UUID(int=days), timestamp=timezone.now() - timedelta(days=days),
            reason="erased",
        )  # fmt: skip

    retention.retain()

    assert sorted(tombstone.event_id.int for tombstone in EventTombstone.objects.all()) == [1, 99]


# --- At once ---------------------------------------------------------------------------------------
def waits_for_a_lock(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])


def while_it_is_changed(resent: Resent, change: Callable[[Event], None]) -> str:
    """Send the event again while its change is not committed yet, and return its status."""
    statuses: list[str] = []
    thread = threading.Thread(target=lambda: statuses.extend(resent.send()))
    with transaction.atomic():
        change(resent.stored.get())
        thread.start()
        until = time.monotonic() + 10
        while not waits_for_a_lock(resent.own.info.backend_pid):
            assert time.monotonic() < until
            time.sleep(0.01)
    thread.join(10)
    assert not thread.is_alive()
    return statuses[0]


@committed
@SIZES
@CHANGES
@pytest.mark.parametrize("counted", [True, False])
def test_what_was_sent_again_meanwhile_is_removed_by_the_digest(change, left, counted, resent, others):
    resent.send()
    if counted:
        digest.run()

    assert while_it_is_changed(resent, change) == "accepted"  # its statement began before the commit

    digest.run()
    assert resent.stored.count() == left
    assert Event.objects.count() == left + 2 * others
    assert_all_counted()
    assert resent.send()[0] == "duplicate"


@committed
@pytest.mark.thorough
@pytest.mark.parametrize("others", [0])
def test_the_digest_and_a_change_of_what_was_sent_again_meanwhile_do_not_lose_each_other(resent, others):
    for after in range(1, 40):
        for kind in (Event, EventTombstone, Session, Minute):
            kind.objects.all().delete()
        resent.send()
        digest.run()
        while_it_is_changed(resent, erase)
        again = resent.stored.get()

        has_so_many, errors = interleave(lambda again=again: move(again), digest.digest_some, after)

        assert [error for error in errors if not isinstance(error, Event.DoesNotExist)] == []
        digest.run()
        assert resent.stored.count() in (0, 1)
        assert_all_counted()
        if not has_so_many:
            return
    raise AssertionError("more locks than expected")


@committed
@pytest.mark.parametrize("others", [499])
def test_tombstones_are_looked_up_by_their_index(resent, others, own):
    EventTombstone.objects.bulk_create(
        EventTombstone(
            application=resent.application, event_id=UUID(int=number), timestamp=resent.moment, reason="erased"
        )
        for number in range(20_000)
    )
    with own.cursor() as cursor:
        cursor.execute("ANALYZE events_eventtombstone")
        cursor.execute(PREPARE)
        cursor.execute(f"EXPLAIN {EXECUTE}", InsertBatch(resent.items()).values())
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "events_eventtombstone_once" in plan, plan
