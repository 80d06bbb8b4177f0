"""The fan-out, claim by claim, with real second connections where two workers meet."""

import threading
import uuid
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from django.db import OperationalError, connection, connections, transaction

from chats import services
from chats.broadcasts import fanout
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory
from chats.models import Broadcast, BroadcastNotAllowed, Chat, ListedUsers, Message, Recipient
from chats.tasks import prepare_broadcast


def frozen(broadcast: Broadcast | None = None, *, largest_chunk: int = 1_000) -> Broadcast:
    broadcast = broadcast or BroadcastFactory()
    assert fanout.freeze(broadcast, largest_chunk=largest_chunk)
    broadcast.refresh_from_db()
    return broadcast


def in_another_connection(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db
def test_everybody_gets_one_message():
    create_fake_chats(230)
    broadcast = frozen()

    assert fanout.run(broadcast, seconds=10) is False

    broadcast.refresh_from_db()
    assert broadcast.status == Broadcast.Status.SENT
    assert (broadcast.audience_size, broadcast.delivered, broadcast.skipped) == (230, 230, 0)
    assert Message.objects.filter(broadcast=broadcast).values("chat").distinct().count() == 230


@pytest.mark.django_db
def test_the_ranges_cover_the_audience_without_overlap():
    create_fake_chats(500)
    Chat.objects.filter(pk__in=Chat.objects.values("pk")[10:100]).delete()

    broadcast = frozen(largest_chunk=60)

    ranges = list(broadcast.chunks.order_by("number").values_list("first_id", "last_id", "size"))
    assert sum(size for *_, size in ranges) == broadcast.audience_size == 410
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


@pytest.mark.django_db
def test_chats_opened_after_the_freeze_are_not_in_the_audience():
    create_fake_chats(10)
    broadcast = frozen()
    late = ChatFactory()

    fanout.run(broadcast, seconds=10)

    assert not late.messages.exists()
    broadcast.refresh_from_db()
    assert broadcast.delivered == 10


@pytest.mark.django_db
def test_chats_deleted_after_the_freeze_count_as_skipped():
    create_fake_chats(10)
    broadcast = frozen()
    Chat.objects.first().delete()

    fanout.run(broadcast, seconds=10)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered, broadcast.skipped) == ("sent", 9, 1)


@pytest.mark.django_db
def test_an_audience_of_nobody_is_sent_at_once():
    broadcast = frozen()

    fanout.run(broadcast, seconds=10)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.audience_size) == ("sent", 0)


@pytest.mark.django_db
def test_a_list_reaches_those_on_it_who_have_a_chat():
    create_fake_chats(5)
    listed, other = ChatFactory(), ChatFactory()
    broadcast = BroadcastFactory(audience=ListedUsers.kind)
    for user_uuid in (listed.user_uuid, uuid.uuid4()):
        Recipient.objects.create(broadcast=broadcast, user_uuid=user_uuid)

    fanout.run(frozen(broadcast), seconds=10)

    broadcast.refresh_from_db()
    assert (broadcast.audience_size, broadcast.delivered, broadcast.skipped) == (2, 1, 1)
    assert listed.messages.count() == 1
    assert not other.messages.exists()


@pytest.mark.django_db
def test_only_a_queued_broadcast_is_frozen():
    broadcast = BroadcastFactory()
    services.cancel(broadcast=broadcast, actor=None)

    assert fanout.freeze(broadcast, largest_chunk=10) is False
    assert not broadcast.chunks.exists()


@pytest.mark.django_db
def test_whoever_prepares_a_broadcast_calls_every_worker_that_may_send_it(monkeypatch, settings):
    settings.BROADCAST_WORKERS = 3
    called = []
    for module in ("chats.broadcasts.state_changes", "chats.tasks"):
        monkeypatch.setattr(f"{module}.wake", lambda task, pk: called.append(task))

    prepare_broadcast(BroadcastFactory().pk)

    assert called == ["chats.tasks.fan_out_broadcast"] * 3


@pytest.mark.django_db
def test_it_stops_when_its_time_is_over_and_says_that_there_is_more():
    create_fake_chats(200)
    broadcast = frozen()

    assert fanout.run(broadcast, seconds=0) is True

    broadcast.refresh_from_db()
    assert broadcast.delivered == fanout.MIN_CHUNK_SIZE
    assert broadcast.status == Broadcast.Status.SENDING


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_nothing_is_sent_after_a_stop(verb: str):
    create_fake_chats(200)
    broadcast = frozen()
    fanout.send_next_chunk(broadcast)
    getattr(services, verb)(broadcast=broadcast, actor=None)

    assert fanout.run(broadcast, seconds=10) is False

    broadcast.refresh_from_db()
    assert broadcast.delivered == Message.objects.count() == fanout.MIN_CHUNK_SIZE


@pytest.mark.django_db
def test_a_resumed_broadcast_goes_on_where_it_stopped():
    create_fake_chats(200)
    broadcast = frozen()
    fanout.send_next_chunk(broadcast)
    services.pause(broadcast=broadcast, actor=None)
    services.resume(broadcast=broadcast, actor=None)

    fanout.run(broadcast, seconds=10)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered) == ("sent", 200)


@pytest.mark.django_db
def test_finishing_waits_for_every_range():
    create_fake_chats(200)
    broadcast = frozen()
    fanout.send_next_chunk(broadcast)

    assert fanout.finish(broadcast) is False


@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_is_being_sent_is_taken_back_when_the_broadcast_is_cancelled():
    create_fake_chats(100)
    broadcast = frozen()

    with transaction.atomic():
        # Another worker has inserted its messages and waits for the counters, which the cancel has locked.
        services.cancel(broadcast=Broadcast.objects.get(pk=broadcast.pk), actor=None)
        worker = in_another_connection(lambda: fanout.send_next_chunk(broadcast))
        wait_until_somebody_waits_for_a_lock()
    worker.join(10)

    assert Message.objects.count() == 0
    assert not broadcast.chunks.exclude(done_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_range_that_somebody_has_claimed_is_passed_over():
    create_fake_chats(100)
    broadcast = frozen()

    with transaction.atomic():
        broadcast.chunks.select_for_update().get(number=0)
        worker = in_another_connection(lambda: fanout.run(broadcast, seconds=10))
        worker.join(10)
        assert list(broadcast.chunks.exclude(done_at=None).values_list("number", flat=True)) == [1]

    fanout.run(broadcast, seconds=10)
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered) == ("sent", 100)


@pytest.mark.django_db(transaction=True)
def test_ten_workers_at_once_deliver_to_everybody_once():
    create_fake_chats(2_000)
    broadcast = frozen(largest_chunk=50)

    workers = [in_another_connection(lambda: fanout.run(broadcast, seconds=30)) for _ in range(10)]
    for worker in workers:
        worker.join(30)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered, broadcast.skipped) == ("sent", 2_000, 0)
    assert Message.objects.count() == 2_000


@pytest.mark.django_db(transaction=True)
def test_the_freeze_waits_for_a_chat_that_is_being_opened():
    """A lower id may be committed later than a higher one, so max(id) alone would miss it."""
    opened, may_commit = threading.Event(), threading.Event()

    def open_slowly() -> None:
        with transaction.atomic():
            ChatFactory()
            opened.set()
            may_commit.wait(10)

    opening = in_another_connection(open_slowly)
    opened.wait(10)
    ChatFactory()
    broadcast = BroadcastFactory()
    freezing = in_another_connection(lambda: fanout.freeze(broadcast, largest_chunk=10))
    wait_until_somebody_waits_for_a_lock()
    may_commit.set()
    opening.join(10)
    freezing.join(10)

    broadcast.refresh_from_db()
    assert broadcast.audience_size == 2


@pytest.mark.django_db(transaction=True)
def test_a_chat_deleted_while_its_message_is_inserted_is_skipped():
    create_fake_chats(3)
    broadcast = frozen()
    victim = Chat.objects.first()

    with transaction.atomic():
        Chat.objects.filter(pk=victim.pk).delete()
        worker = in_another_connection(lambda: fanout.run(broadcast, seconds=10))
        wait_until_somebody_waits_for_a_lock()
    worker.join(10)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.delivered, broadcast.skipped) == ("sent", 2, 1)


@pytest.mark.django_db
def test_what_is_finished_cannot_be_paused():
    broadcast = frozen()
    fanout.run(broadcast, seconds=10)

    with pytest.raises(BroadcastNotAllowed, match="is sent and cannot be paused"):
        services.pause(broadcast=broadcast, actor=None)


def wait_until_somebody_waits_for_a_lock(number: int = 1) -> None:
    with connection.cursor() as cursor:
        for _ in range(2_000):
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # otherwise one transaction always sees the same state
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0] >= number:
                return
            threading.Event().wait(0.005)
    raise AssertionError("nobody came to wait for a lock")


def fails_to_prepare(pk: int) -> None:
    with pytest.raises(OperationalError):
        prepare_broadcast(pk)


@pytest.mark.django_db(transaction=True)
def test_a_freeze_that_waits_too_long_for_new_chats_frees_its_lease(monkeypatch):
    broadcast = BroadcastFactory()
    monkeypatch.setattr("chats.broadcasts.fanout.FREEZE_WAIT", "50ms")

    with transaction.atomic():
        ChatFactory()
        failing = in_another_connection(partial(fails_to_prepare, broadcast.pk))
        failing.join(10)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.lease_until) == ("queued", None)
