"""Two connections that need the same rows of chats: no pair of services deadlocks."""

import threading
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from chats import services
from chats.banners.api_client import Photo
from chats.broadcasts import fanout, state_changes
from chats.demo.fake import create_fake_chats
from chats.factories import BannerFactory, BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast, BroadcastNotAllowed, Chat, ListedUsers, Message
from chats.tests.test_fanout import in_another_connection, wait_until_somebody_waits_for_a_lock
from core.tests.together import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]


def sending_a_banner(largest_chunk: int = 1_000) -> Broadcast:
    banner = BannerFactory()
    broadcast = BroadcastFactory(text="", image="banners/1.webp", banner=banner, banner_url=banner.source_url)
    fanout.freeze(broadcast, largest_chunk=largest_chunk)
    return broadcast


def test_a_cancel_while_a_worker_has_inserted_messages_stops_it_and_frees_the_banner(monkeypatch):
    """The worker holds the broadcast's key by its messages' foreign keys. Releasing the banner waits for that."""
    create_fake_chats(50)
    broadcast = sending_a_banner()
    inserted, may_count = threading.Event(), threading.Event()
    count = fanout._count

    def count_later(*args: object) -> None:
        inserted.set()
        may_count.wait(10)
        count(*args)

    monkeypatch.setattr(fanout, "_count", count_later)
    raised: list[BaseException] = []

    def noting(work) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    worker = in_another_connection(lambda: noting(lambda: fanout.send_next_chunk(broadcast)))
    inserted.wait(10)
    canceller = in_another_connection(
        lambda: noting(lambda: services.cancel(broadcast=Broadcast.objects.get(), actor=None))
    )
    wait_until_somebody_waits_for_a_lock()
    may_count.set()
    worker.join(10)
    canceller.join(10)

    broadcast.refresh_from_db()
    assert raised == []
    assert (broadcast.status, broadcast.banner_id, Message.objects.count()) == ("cancelled", None, 0)


def test_a_banner_that_could_not_be_freed_at_once_is_freed_by_the_sweeper():
    broadcast = sending_a_banner()
    Broadcast.objects.update(status="cancelled", finished_at=timezone.now())  # and the process was killed

    services.sweep_broadcasts()

    broadcast.refresh_from_db()
    assert broadcast.banner_id is None


def test_many_cancels_under_way_of_many_workers_never_fail():
    create_fake_chats(2_000)
    for _ in range(10):
        broadcast = sending_a_banner(largest_chunk=50)
        again = Broadcast.objects.get(pk=broadcast.pk)
        workers = [lambda pk=broadcast.pk: fanout.run(Broadcast.objects.get(pk=pk), seconds=20) for _ in range(4)]

        raised = together(*workers, lambda again=again: services.cancel(broadcast=again, actor=None))

        again.refresh_from_db()
        assert [error for error in raised if not isinstance(error, BroadcastNotAllowed)] == []
        assert again.status == "sent" or (again.banner_id is None) == (again.delivered == 0)
        assert again.messages.count() == again.delivered


def test_nothing_is_written_into_a_chat_that_is_deleted_meanwhile(marketer_api, as_marketer):
    chat = ChatFactory()
    path = f"/chats/{chat.user_uuid}/messages/"
    admin = f"/admin/chats/chat/{chat.pk}/change/"
    statuses: dict[str, int] = {}
    posts = {
        path: lambda: marketer_api.post(path, {"text": "Hello"}),
        f"{path}read/": lambda: marketer_api.post(f"{path}read/"),
        admin: lambda: as_marketer.post(admin, {"text": "Hello"}),
    }

    def post(name: str) -> None:
        statuses[name] = posts[name]().status_code

    with transaction.atomic():
        chat.delete()  # the requests find the chat, then wait for its lock
        waiting = [in_another_connection(partial(post, name)) for name in posts]
        wait_until_somebody_waits_for_a_lock(len(posts))
    for thread in waiting:
        thread.join(10)

    assert statuses == {path: 404, f"{path}read/": 404, admin: 302}
    assert not Message.objects.exists()


class Scene:
    """One broadcast in each state, banners, and chats with messages, on which any two services can collide."""

    def __init__(self) -> None:
        create_fake_chats(60)
        self.chat = ChatFactory()
        MessageFactory.create_batch(3, chat=self.chat)
        self.sending = sending_a_banner(largest_chunk=50)
        self.queued = BroadcastFactory()
        self.scheduled = BroadcastFactory(scheduled=True)
        self.paused = BroadcastFactory()
        fanout.freeze(self.paused, largest_chunk=50)
        fanout.send_next_chunk(self.paused)
        services.pause(broadcast=self.paused, actor=None)
        self.skipped = BannerFactory(skipped_at=timezone.now(), skip_reason="Not this one.")
        self.failed = BroadcastFactory(failed=True, text="", banner_url=self.skipped.source_url)
        self.key = uuid4()

    def fresh(self, broadcast: Broadcast) -> Broadcast:
        return Broadcast.objects.get(pk=broadcast.pk)


VERBS = {
    "fan-out": lambda scene: fanout.run(scene.fresh(scene.sending), seconds=10),
    "freeze": lambda scene: fanout.freeze(scene.fresh(scene.queued), largest_chunk=50),
    "pause": lambda scene: services.pause(broadcast=scene.fresh(scene.sending), actor=None),
    "pause queued": lambda scene: services.pause(broadcast=scene.fresh(scene.queued), actor=None),
    "resume": lambda scene: services.resume(broadcast=scene.fresh(scene.paused), actor=None),
    "cancel": lambda scene: services.cancel(broadcast=scene.fresh(scene.sending), actor=None),
    "retract": lambda scene: services.retract(broadcast=scene.fresh(scene.paused), actor=None),
    "retry": lambda scene: services.retry(broadcast=scene.fresh(scene.failed), actor=None),
    "fail": lambda scene: state_changes.fail(scene.fresh(scene.queued), "It did not work."),
    "reserve": lambda scene: services.send_photo(
        photo=Photo(scene.skipped.source_url, ""), actor=None, request_key=scene.key
    ),
    "skip": lambda scene: services.skip_banner(url=scene.skipped.source_url, title="", actor="Mara"),
    "unskip": lambda scene: services.unskip_banner(banner=scene.skipped),
    "compose": lambda scene: services.compose(
        actor=None, text="Hello", request_key=scene.key, audience=ListedUsers([scene.chat.user_uuid])
    ),
    "update": lambda scene: services.update_scheduled(
        broadcast=scene.scheduled, actor=None, text="Later", image=None, send_at=timezone.now() + timedelta(hours=1)
    ),
    "sweep": lambda scene: services.sweep_broadcasts(),
    "post": lambda scene: services.post_message(chat=scene.chat, text="Hello"),
    "mark read": lambda scene: services.mark_read(chat=scene.chat),
    "open chat": lambda scene: services.open_chat(user_uuid=scene.key),
    "delete chats": lambda scene: Chat.objects.filter(pk__gte=scene.chat.pk - 30).delete(),
}
EXPECTED = (BroadcastNotAllowed, Chat.DoesNotExist)  # the other service was first


@pytest.mark.parametrize("place", range(len(VERBS)), ids=VERBS)
def test_no_two_verbs_deadlock(place: int):
    verb = list(VERBS.values())[place]
    for name, other in list(VERBS.items())[place:]:
        scene = Scene()

        raised = together(partial(verb, scene), partial(other, scene))

        assert [error for error in raised if not isinstance(error, EXPECTED)] == [], name
