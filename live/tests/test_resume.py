"""A reconnecting client gets the messages that it missed, or a `reload` message."""

import asyncio
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.utils import timezone

from live.models import OutboxMessage, Position
from live.numbering import MAX_REPLAYED, forget_old, number
from live.tasks import delete_old_messages
from live.tests.conftest import publish, publish_numbers

pytestmark = pytest.mark.django_db(transaction=True)
numbered = database_sync_to_async(number)


async def test_who_comes_back_gets_what_it_missed_and_then_the_live_messages(connect, viewer):
    await publish_numbers("broadcasts", 10)
    await publish_numbers("broadcast:1", 5)
    socket = await connect(viewer)

    first = await socket.subscribe("broadcasts", since=4)
    rest = await socket.hear_all(5)
    subscribed = await socket.hear()
    await publish("broadcasts", "live", {})

    assert [m["seq"] for m in [first, *rest]] == [5, 6, 7, 8, 9, 10]
    assert subscribed == {"type": "subscribed", "topics": ["broadcasts"], "seq": 15}
    assert (await socket.hear())["seq"] == 16


async def test_nothing_is_missed_or_doubled_between_what_was_missed_and_what_is_live(connect, viewer):
    socket = await connect(viewer)
    await publish_numbers("broadcasts", 1)

    async def keep_publishing() -> None:
        for _ in range(40):
            await publish_numbers("broadcasts", 5)

    publishing = asyncio.create_task(keep_publishing())
    await asyncio.sleep(0.05)
    await socket.say(type="subscribe", topics=["broadcasts"], since=0)
    seen = []
    while not seen or seen[-1] < 201:
        message = await socket.hear()
        assert message["type"] != "reload"
        if "data" in message:
            seen.append(message["seq"])
    await publishing

    assert seen == list(range(1, 202))


async def test_five_hundred_are_replayed_and_one_more_is_a_reload(connect, viewer):
    await publish_numbers("broadcasts", MAX_REPLAYED + 1)
    await numbered()
    socket = await connect(viewer)

    assert (await socket.subscribe("broadcasts", since=0)) == {"type": "reload", "topics": ["broadcasts"]}
    assert (await socket.hear())["seq"] == MAX_REPLAYED + 1
    assert (await socket.subscribe("broadcasts", since=1))["seq"] == 2
    assert [m["seq"] for m in await socket.hear_all(499)][-1] == MAX_REPLAYED + 1
    assert (await socket.hear())["type"] == "subscribed"


@database_sync_to_async
def grow_old(up_to: int) -> None:
    OutboxMessage.objects.filter(seq__lte=up_to).update(created_at=timezone.now() - timedelta(hours=25))


async def test_who_was_away_for_longer_than_messages_are_kept_is_told_to_reload(connect, viewer):
    await publish_numbers("broadcasts", 10)
    await numbered()
    await grow_old(up_to=6)

    assert await database_sync_to_async(forget_old)() == 6

    socket = await connect(viewer)
    assert (await socket.subscribe("broadcasts", since=5))["type"] == "reload"
    assert (await socket.hear())["type"] == "subscribed"
    assert (await socket.subscribe("broadcasts", since=6))["seq"] == 7


async def test_a_number_from_the_future_is_a_reload(connect, viewer):
    await publish_numbers("broadcasts", 3)
    socket = await connect(viewer)

    assert (await socket.subscribe("broadcasts", since=1_000_000))["type"] == "reload"
    assert (await socket.hear())["seq"] == 3


async def test_watchers_of_a_database_that_was_set_back_are_told_to_reload_and_hear_what_follows(connect, viewer):
    await publish_numbers("broadcasts", 10)
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await database_sync_to_async(_restore_an_older_backup)()

    assert await socket.hear() == {"type": "reload", "topics": ["broadcasts"], "seq": 4}
    await publish("broadcasts", "after", {})
    assert (await socket.hear())["seq"] == 5


def _restore_an_older_backup() -> None:
    OutboxMessage.objects.filter(seq__gt=4).delete()
    Position.objects.update(seq=4)


def test_old_messages_are_deleted_and_young_ones_stay_also_those_that_nobody_has_read():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO live_event (topic, type, data, created_at)"
            " SELECT 'broadcasts', 'x', '{}', now() - n * interval '1 minute' FROM generate_series(6000, 1, -1) n"
        )

    delete_old_messages()

    assert OutboxMessage.objects.count() == 24 * 60 - 1
    position = Position.objects.get()
    assert position.seq == 6000 and position.forgotten == 6000 - (24 * 60 - 1)
