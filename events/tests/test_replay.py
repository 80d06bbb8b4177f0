"""Replays: what is right by now becomes an event, once; what is wrong stays, with the reasons of now."""

import hashlib
import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events import services, tasks
from events.factories import ApplicationFactory, EventTypeFactory
from events.models import Application, Batch, Event, EventType, RejectedEvent, Replay, Session
from events.rejected import replay
from events.rollups import digest
from events.services import Selection
from events.tests.counting import NOON, assert_all_counted, commit
from events.tests.test_digest import several
from live.models import OutboxMessage as Message

pytestmark = pytest.mark.django_db
WANTS_HOST = {"type": "object", "required": ["host"]}


@pytest.fixture
def application() -> Application:
    return ApplicationFactory(name="Website")


@pytest.fixture
def event_type() -> EventType:
    return EventTypeFactory(category="shop", name="order", schema=WANTS_HOST)


def wrong(application: Application, data: object = None, **more: object) -> dict:
    """A rejected event whose bytes are these; only the schema is against it."""
    event_id = uuid4()
    sent = {
        "event_id": str(event_id), "session_id": "mine", "category": "shop", "name": "order",
        "timestamp": NOON.isoformat(), "data": {} if data is None else data, **more,
    }  # fmt: skip
    raw = json.dumps(sent).encode()
    return {
        "application": application, "event_id": event_id, "category": "shop", "name": "order", "code": "required",
        "pointer": "/data/host", "raw": raw, "raw_hash": hashlib.sha256(raw).hexdigest(),
        "received_at": NOON + timedelta(seconds=9),
    }  # fmt: skip


def replay_all(application: Application, **more: str) -> Replay:
    started = services.start_replay(selection=Selection(application=application.pk, **more))
    tasks.replay_rejected(started.pk)
    started.refresh_from_db()
    return started


def outcome(one: Replay) -> tuple[int, int, int, int, int]:
    assert one.finished_at
    return one.total, one.accepted, one.duplicates, one.still_rejected, one.gone


def test_nothing_changes_while_nothing_has_changed(application, event_type):
    commit([], [wrong(application), wrong(application)])
    digest.run()

    assert outcome(replay_all(application)) == (2, 0, 0, 2, 0)

    assert RejectedEvent.objects.count() == 2
    assert_all_counted()


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not yet counted"])
def test_what_is_right_by_now_becomes_an_event(counted, application, event_type):
    commit([{"application": application}], [wrong(application), wrong(application), wrong(application, [])])
    if counted:
        digest.run()
    services.publish_schema(event_type=event_type, schema={"type": "object"})

    assert outcome(replay_all(application)) == (3, 2, 0, 1, 0)

    assert Event.objects.filter(session_id="mine", received_at=NOON + timedelta(seconds=9)).count() == 2
    left = RejectedEvent.objects.get()
    assert (left.code, left.pointer, left.reasons[0]["code"]) == ("type", "/data", "type")
    digest.run()
    assert Session.objects.get(pk="mine").event_count == 2
    assert_all_counted()


def test_a_step_locks_the_minutes_once_in_their_order(application, event_type):
    hours = [NOON + timedelta(hours=hour) for hour in range(4)]
    unread = {"category": "", "name": "", "code": "json"}
    commit([], [{**wrong(application, data), **more, "received_at": at} for at, data, more in zip(
        hours, [{"host": "a"}, [], {"host": "a"}, []], [{}, unread, {}, unread], strict=True
    )])  # fmt: skip
    digest.run()

    with CaptureQueriesContext(connection) as queries:
        assert outcome(replay_all(application)) == (4, 2, 0, 2, 0)

    locked = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "events_minute"')]
    moments = [re.search(r"\"minute\" = '([^']+)'", sql) for sql in locked]
    found = [moment[1] for moment in moments if moment]
    assert len(found) == 4 and found == sorted(found)
    digest.run()
    assert_all_counted()


def test_a_group_is_replayed_and_its_neighbours_are_not(application, event_type):
    commit([], [wrong(application), {**wrong(application), "pointer": "/data/other"}, wrong(ApplicationFactory())])
    services.publish_schema(event_type=event_type, schema={})

    done = replay_all(application, category="shop", name="order", code="required", pointer="/data/host")

    assert outcome(done) == (1, 1, 0, 0, 0)
    assert RejectedEvent.objects.count() == 2


def test_an_event_keeps_the_id_that_its_sender_was_told(application):
    told = {**wrong(application, event_id=None), "event_id": uuid4()}
    commit([], [told])

    replay_all(application)

    assert Event.objects.get().event_id == told["event_id"]


def test_what_was_stored_meanwhile_is_a_duplicate(application):
    first = wrong(application)
    commit([{"application": application, "event_id": first["event_id"], "timestamp": NOON}], [first])
    digest.run()

    assert outcome(replay_all(application)) == (1, 0, 1, 0, 0)

    assert Event.objects.count() == 1 and not RejectedEvent.objects.exists()
    digest.run()
    assert_all_counted()


def test_an_event_from_the_future_stays_one_until_its_time_has_come(application):
    came, soon = timezone.now(), timezone.now() + timedelta(hours=2)
    event = {**wrong(application, timestamp=soon.isoformat()), "code": "future", "pointer": "/timestamp"}
    commit([], [{**event, "received_at": came}])

    assert outcome(replay_all(application)) == (1, 0, 0, 1, 0)
    assert RejectedEvent.objects.get().code == "future"
    with time_machine.travel(soon + timedelta(seconds=1)):
        assert services.preview_replay(selection=Selection(application=application.pk)).accepted == 1
        assert outcome(replay_all(application)) == (1, 1, 0, 0, 0)

    assert (Event.objects.get().timestamp, Event.objects.get().received_at) == (soon, came)
    digest.run()
    assert_all_counted()


def test_an_event_that_was_young_enough_when_it_came_is_so_years_later(application, settings):
    settings.EVENT_RETENTION_DAYS = 3_650
    commit([], [wrong(application)])

    with time_machine.travel(NOON + timedelta(days=5_000)):
        assert outcome(replay_all(application)) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[1]", b"null", b"[" * 100_000, b'{"data": {"a": "\\u0000"}}'])
def test_what_nobody_can_read_stays_rejected(raw, application):
    commit([], [{"application": application, "category": "", "name": "", "raw": raw}])
    digest.run()

    assert outcome(replay_all(application)) == (1, 0, 0, 1, 0)

    assert RejectedEvent.objects.get().raw.tobytes() == raw
    assert_all_counted()


def test_what_postgres_refuses_stays_rejected_and_harms_no_neighbour(application, monkeypatch):
    commit([], [wrong(application), wrong(application, data={"broken": 1}), wrong(application)])
    revalidate = replay.Revalidator.revalidate

    def broken(self, row):
        item = revalidate(self, row)
        item.data = b'"\\u0000"' if b"broken" in item.data else item.data
        return item

    monkeypatch.setattr(replay.Revalidator, "revalidate", broken)

    assert outcome(replay_all(application)) == (3, 2, 0, 1, 0)

    assert RejectedEvent.objects.get().code == "unstorable"
    assert Batch.objects.count() == 3  # its own, and one each for the two halves that held something


def test_a_second_delivery_and_a_second_replay_find_nothing_left(application):
    commit([], [wrong(application)])
    first = services.start_replay(selection=Selection(application=application.pk))
    second = services.start_replay(selection=Selection(application=application.pk))

    for started in (first, first, second):
        tasks.replay_rejected(started.pk)

    first.refresh_from_db()
    second.refresh_from_db()
    assert outcome(first) == (1, 1, 0, 0, 0)
    assert outcome(second) == (1, 0, 0, 0, 1)
    with pytest.raises(services.ChangeRefused, match="no such"):
        services.start_replay(selection=Selection(application=application.pk))


def test_a_replay_ends_though_more_are_rejected_meanwhile(application, event_type):
    commit([], [wrong(application)])
    started = services.start_replay(selection=Selection(application=application.pk))
    commit([], [wrong(application)])

    tasks.replay_rejected(started.pk)

    started.refresh_from_db()
    assert outcome(started) == (1, 0, 0, 1, 0)


def test_a_step_that_dies_has_done_nothing(application):
    commit([], [wrong(application)])
    started = services.start_replay(selection=Selection(application=application.pk))

    with pytest.raises(RuntimeError), transaction.atomic():
        replay.replay_some(started.pk)
        raise RuntimeError

    assert not Event.objects.exists() and RejectedEvent.objects.count() == 1
    tasks.replay_rejected(started.pk)
    assert Event.objects.count() == 1


def test_watchers_see_it_move(application):
    commit([], [wrong(application), wrong(application)])
    Message.objects.all().delete()

    started = services.start_replay(selection=Selection(application=application.pk))
    while replay.replay_some(started.pk, at_once=1):
        pass

    told = [json.loads(message.data) for message in Message.objects.filter(type="replay.updated").order_by("pk")]
    assert [message["accepted"] for message in told] == [1, 2, 2]
    assert told[-1]["finished_at"] and not told[0]["finished_at"]


def test_a_preview_counts_the_results_of_a_replay_and_changes_nothing(application, event_type):
    twice = wrong(application, {"host": "a"})
    stored = wrong(application, {"host": "a"})
    commit(
        [{"application": application, "event_id": stored["event_id"], "timestamp": NOON}],
        [twice, stored, wrong(application)],
    )

    found = services.preview_replay(selection=Selection(application=application.pk))

    assert (found.checked, found.accepted, found.duplicates, found.still_rejected) == (3, 1, 1, 1)
    assert [(reason.code, reason.pointer, reason.count) for reason in found.reasons] == [("required", "/data/host", 1)]
    assert RejectedEvent.objects.count() == 3


def test_some_are_selected_by_their_ids(application):
    batch = commit([], [wrong(application), wrong(application)])
    chosen = RejectedEvent.objects.filter(pk__gte=batch.pk).order_by("pk").first()

    started = services.start_replay(selection=Selection(ids=(chosen.pk,)))
    tasks.replay_rejected(started.pk)

    assert not RejectedEvent.objects.filter(pk=chosen.pk).exists() and RejectedEvent.objects.count() == 1
    for members in ({}, {"ids": ()}, {"ids": (1,), "code": "type"}, {"ids": tuple(range(1_001))}):
        with pytest.raises(ValueError, match=r"[Ss]elect"):
            Selection(**members)


@pytest.mark.django_db(transaction=True)
def test_replays_side_by_side_store_each_event_once():
    application = ApplicationFactory()
    for _ in range(20):
        commit([], [wrong(application) for _ in range(3)])
    ids = [services.start_replay(selection=Selection(application=application.pk)).pk for _ in range(3)]

    def work() -> None:
        for replay_id in ids:
            while replay.replay_some(replay_id, at_once=7):
                digest.digest_some(at_once=2)

    with several(3, work):
        work()
    for replay_id in ids:  # what somebody else was at when it was asked for
        while replay.replay_some(replay_id, at_once=7):
            pass
    digest.run()

    assert Event.objects.count() == Event.objects.values("event_id").distinct().count() == 60
    assert not RejectedEvent.objects.exists()
    replays = Replay.objects.all()
    assert sum(one.accepted for one in replays) == 60
    assert all(one.finished_at and outcome(one)[0] == 60 for one in replays)
    assert_all_counted()
    connection.close()


def test_replays_that_fail_each_time_do_not_keep_the_sweeper_from_another(application, monkeypatch):
    woken: list[int] = []
    monkeypatch.setattr("events.services.replays.wake", lambda task, replay_id, **_: woken.append(replay_id))
    monkeypatch.setattr("events.services.replays.MAX_RUNNING_REPLAYS", 2)
    commit([], [wrong(application)])
    several_replays = [services.start_replay(selection=Selection(application=application.pk)) for _ in range(4)]
    woken.clear()

    for _ in range(200):
        services.sweep_replays()

    assert set(woken) == {one.pk for one in several_replays}
