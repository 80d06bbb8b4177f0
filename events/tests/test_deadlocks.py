"""Two connections that want the same rows: they wait in one order, and a deadlock's victim tries once more."""

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from core.database.deadlocks import TRIES, retried
from core.tests.together import together
from events import services
from events.factories import ApplicationFactory, RejectedEventFactory
from events.ingest import db_thread
from events.ingest.bulk_insert import Store
from events.models import Event, RejectedEvent
from events.rejected import replay
from events.rollups import digest
from events.tests.counting import NOON, assert_all_counted, commit
from events.tests.sending import committed
from events.validation.event import Item, read
from events.validation.rules import ApplicationSettings, Rules

pytestmark = committed
ROUNDS = 20


def items_of(application: int, bodies: list[dict[str, Any]]) -> list[Item]:
    rules = Rules.for_application(ApplicationSettings(application), {})
    return read(json.dumps(bodies).encode(), rules)


def write(items: list[Item]) -> None:
    own = psycopg2.connect(**db_thread.connection_parameters("test"))
    own.autocommit = True
    try:
        Store()._write(own, items)  # without the second try
    finally:
        own.close()


@pytest.fixture
def wrong() -> list[dict[str, Any]]:
    """Rejected events: they have no timestamp."""
    return [{"event_id": f"00000000-0000-4000-8000-{number:012}", "category": "shop"} for number in range(300)]


@pytest.mark.parametrize("right", [0, 64])
def test_two_writers_of_the_same_rejected_events_in_opposite_order_do_not_deadlock(wrong, pageview, right):
    application = ApplicationFactory().pk
    for _ in range(ROUNDS):
        RejectedEvent.objects.all().delete()
        Event.objects.all().delete()
        good = [pageview | {"event_id": f"10000000-0000-4000-8000-{number:012}"} for number in range(right)]

        raised = together(
            lambda good=good: write(items_of(application, good + wrong)),
            lambda good=good: write(items_of(application, (good + wrong)[::-1])),
        )

        assert raised == []
        assert (RejectedEvent.objects.count(), Event.objects.count()) == (300, right)


def test_ids_of_rejected_events_follow_the_order_of_arrival(wrong):
    arrived = wrong[::-1]

    write(items_of(ApplicationFactory().pk, arrived))

    stored = RejectedEvent.objects.order_by("id").values_list("event_id", flat=True)
    assert [str(id) for id in stored] == [body["event_id"] for body in arrived]


def test_an_application_that_is_deleted_takes_no_neighbour_with_it(write_key, wrong, pageview):
    own = psycopg2.connect(**db_thread.connection_parameters("test"))
    own.autocommit = True
    for number in (2, 100):
        bodies = [pageview | {"event_id": f"{number:08}-0000-4000-8000-{place:012}"} for place in range(number)]
        gone = items_of(write_key.application_id + 1_000, [*bodies, wrong[0]])
        kept = items_of(write_key.application_id, bodies)

        outcomes = Store().write(own, [*gone, *kept])

        assert outcomes == ["gone"] * len(gone) + ["accepted"] * len(kept)
    own.close()
    assert (Event.objects.count(), RejectedEvent.objects.count()) == (102, 0)


def test_requests_of_a_deleted_application_get_401_and_their_neighbours_202(sender, pageview):
    doomed = services.create_application(name="Doomed")
    good, bad = pageview, pageview | {"event_id": "20000000-0000-4000-8000-000000000000"}
    sender.post(good)  # keys are known now
    services.delete_application(application=doomed.application)
    own_key = sender.key

    async def both() -> list[Any]:
        sender.key = doomed.write_key
        first = asyncio.ensure_future(sender.call(bad))
        await asyncio.sleep(0)
        sender.key = own_key
        return await asyncio.gather(first, *(sender.call(good | {"session_id": str(n)}) for n in range(5)))

    assert [answer.status for answer in sender.runner.run(both())] == [401, 202, 202, 202, 202, 202]


def test_changes_deletions_replays_and_the_digest_do_not_deadlock(pageview):
    application = ApplicationFactory()
    for number in range(5):
        batches = [
            commit(
                [{"application": application, "session_id": session, "timestamp": NOON} for session in "abcdef"],
                [{"application": application}] * 3,
            )
            for _ in range(2)
        ]
        events = list(Event.objects.filter(pk__gte=batches[0].pk * 4096).order_by("pk"))
        rejected = list(RejectedEvent.objects.values_list("pk", flat=True))
        started = services.start_replay(selection=services.Selection(application=application.pk))

        raised = together(
            lambda events=events: [services.update_event(event=one, session_id="a") for one in events[:6]],
            lambda events=events: [services.update_event(event=one, session_id="f") for one in events[:5:-1]],
            lambda events=events: [services.delete_event(event=one) for one in events[3:9]],
            lambda rejected=rejected: services.delete_rejected(ids=rejected[::-1]),
            lambda pk=started.pk: replay.run(pk),
            digest.run,
            digest.run,
        )

        assert [error for error in raised if not isinstance(error, Event.DoesNotExist)] == [], number
        digest.run()
        assert_all_counted()


def test_a_verb_is_tried_three_times_and_then_its_deadlock_is_the_callers():
    tries = []

    @retried
    def verb() -> None:
        tries.append(1)
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")

    with pytest.raises(OperationalError):
        verb()

    assert len(tries) == TRIES == 3


def test_a_verb_is_tried_again_after_a_deadlock():
    rows = [ApplicationFactory().pk, ApplicationFactory().pk]
    tries, held, wants, over = [], threading.Event(), threading.Event(), threading.Event()

    def lock(pk: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM events_application WHERE id = %s FOR UPDATE", [pk])

    @retried
    def verb() -> str:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL deadlock_timeout = '50ms'")
            tries.append(1)
            if len(tries) > 1:
                over.wait()
            lock(rows[0])
            held.set()
            wants.wait()
            lock(rows[1])
        return "done"

    def other() -> None:
        held.wait()
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL deadlock_timeout = '10s'")  # the verb is the victim
            lock(rows[1])
            wants.set()
            lock(rows[0])
        over.set()

    assert together(verb, other) == [] and len(tries) == 2


def test_changes_that_move_one_event_to_another_month_all_succeed():
    event = Event.objects.get(pk=commit([{"timestamp": NOON}]).pk * 4096)
    this_month = timezone.now().replace(day=1, hour=0)
    digest.run()

    raised = together(
        *(
            lambda number=number: services.update_event(event=event, timestamp=this_month + timedelta(minutes=number))
            for number in range(4)
        ),
        *(lambda number=number: services.update_event(event=event, timestamp=NOON) for number in range(4)),
    )

    assert raised == []
    assert_all_counted()


def test_a_rejected_event_that_leaves_its_group_while_the_group_is_deleted_is_kept():
    application = ApplicationFactory()
    ids = [RejectedEventFactory(application=application, code="type").pk for _ in range(2)]
    moved, waits = threading.Event(), threading.Event()

    def move() -> None:
        with transaction.atomic():
            RejectedEvent.objects.filter(pk=ids[0]).update(code="required")
            moved.set()
            assert waits.wait(20)

    def delete() -> None:
        assert moved.wait(20)
        threading.Timer(0.2, waits.set).start()  # once it waits for the row
        services.delete_rejected(ids=ids, among=RejectedEvent.objects.filter(code="type"))

    assert together(move, delete) == []
    assert list(RejectedEvent.objects.values_list("pk", flat=True)) == ids[:1]
