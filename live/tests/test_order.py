"""Messages are neither lost nor duplicated, in any order of commits, and if any process is killed meanwhile."""

import asyncio
import threading

import pytest
from channels.db import database_sync_to_async
from django.db import connection, transaction

from live import publish as publish_module
from live import redis_pubsub
from live.models import OutboxMessage, Position
from live.numbering import number, number_all, position, read
from live.publish import publish_many
from live.tests.conftest import publish

pytestmark = pytest.mark.django_db(transaction=True)


class SlowPublisher(threading.Thread):
    """Writes its message, and commits when `may_commit` is set."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.written, self.may_commit = kind, threading.Event(), threading.Event()

    def run(self) -> None:
        try:
            with transaction.atomic():
                publish_module.publish("broadcasts", self.kind, {})
                self.written.set()
                assert self.may_commit.wait(20)
        finally:
            connection.close()


async def test_a_lower_id_that_commits_later_is_heard_once_and_in_order(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")
    slow = SlowPublisher("slow")
    slow.start()
    await asyncio.to_thread(slow.written.wait, 20)

    await publish("broadcasts", "quick", {})
    first = await socket.hear()
    slow.may_commit.set()
    second = await socket.hear()
    await asyncio.to_thread(slow.join)

    assert [(m["seq"], m["type"]) for m in (first, second)] == [(1, "quick"), (2, "slow")]
    by_id = await database_sync_to_async(
        lambda: list(OutboxMessage.objects.order_by("id").values_list("type", flat=True))
    )()
    assert by_id == ["slow", "quick"]
    assert await socket.receive_nothing(0.3)


async def test_who_resumes_after_the_quick_one_gets_the_slow_one(connect, viewer):
    slow = SlowPublisher("slow")
    slow.start()
    await asyncio.to_thread(slow.written.wait, 20)
    await publish("broadcasts", "quick", {})
    socket = await connect(viewer)
    assert (await socket.subscribe("broadcasts"))["seq"] == 1
    await socket.disconnect()
    slow.may_commit.set()
    await asyncio.to_thread(slow.join)

    again = await connect(viewer)

    assert (await again.subscribe("broadcasts", since=1))["type"] == "slow"


def test_many_who_number_at_once_leave_no_gap_and_give_none_twice():
    publish_many([("broadcasts", "x", {"n": n}) for n in range(50)])
    start, failures = threading.Barrier(8), []

    def publish_and_number() -> None:
        try:
            start.wait()
            for n in range(20):
                publish_module.publish("broadcasts", "x", {"n": n})
                number()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=publish_and_number) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(OutboxMessage.objects.values_list("seq", flat=True)) == list(range(1, 211))
    assert position() == 210


def test_who_reads_while_others_commit_never_sees_a_number_appear_below_one_it_has_seen():
    over = threading.Event()

    def publish_for_a_while() -> None:
        try:
            while not over.is_set():
                with transaction.atomic():
                    publish_module.publish("broadcasts", "x", {})
        finally:
            connection.close()

    publishers = [threading.Thread(target=publish_for_a_while) for _ in range(4)]
    for thread in publishers:
        thread.start()
    seen: list[int] = []
    while len(seen) < 300:
        number()
        seen += [message.seq for message in read(seen[-1] if seen else 0, 20)]
    over.set()
    for thread in publishers:
        thread.join()

    assert seen == list(range(1, len(seen) + 1))


async def test_a_publisher_killed_before_its_hint_is_heard_all_the_same(connect, viewer, monkeypatch):
    monkeypatch.setattr(publish_module, "send_hint", lambda: None)
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await publish("broadcasts", "orphan", {})

    assert (await socket.hear())["type"] == "orphan"


def test_a_backlog_larger_than_one_numbering_is_numbered_step_by_step():
    publish_many([("broadcasts", "x", {}) for _ in range(6_000)])

    number()
    assert position() == 5_000

    number_all()
    assert position() == 6_000


def test_a_transaction_of_many_messages_sends_one_hint(monkeypatch):
    sent = []
    monkeypatch.setattr(publish_module, "send_hint", lambda: sent.append(True))

    with transaction.atomic():
        for _ in range(5):
            publish_module.publish("broadcasts", "x", {})
        assert sent == []

    assert sent == [True]


def test_a_hint_outlives_the_savepoint_that_was_rolled_back(monkeypatch):
    sent = []
    monkeypatch.setattr(publish_module, "send_hint", lambda: sent.append(True))

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publish_module.publish("broadcasts", "lost", {})
            raise ZeroDivisionError
        publish_module.publish("broadcasts", "kept", {})

    assert sent == [True]
    assert OutboxMessage.objects.get().type == "kept"


def test_numbering_nothing_writes_nothing():
    number()

    assert not Position.objects.exists()


def test_a_hub_asks_by_indexes_at_any_size():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO live_event (seq, topic, type, data)"
            " SELECT n, 'broadcasts', 'x', '{}' FROM generate_series(1, 20000) n"
        )
        cursor.execute("ANALYZE live_event")
        plans = {}
        for index, query in {
            "live_event_unnumbered": "SELECT FROM live_event WHERE seq IS NULL",
            "live_event_seq_unique": "SELECT * FROM live_event WHERE seq > 19990 ORDER BY seq LIMIT 200",
            "live_event_topic_seq": "SELECT * FROM live_event WHERE topic = ANY('{broadcast:1,broadcast:2}')"
            " AND seq > 10 AND seq <= 19990 ORDER BY seq LIMIT 501",
        }.items():
            cursor.execute("EXPLAIN " + query)
            plans[index] = "\n".join(line for (line,) in cursor.fetchall())

    for index, plan in plans.items():
        assert index in plan and "Seq Scan" not in plan, plan


def test_hints_of_two_copies_do_not_meet(settings):
    ours = redis_pubsub.channel()
    settings.CACHES = {"default": settings.CACHES["default"] | {"KEY_PREFIX": "other"}}

    assert redis_pubsub.channel() != ours
