"""Messages from and to a client."""

import json

import pytest
from channels.db import database_sync_to_async
from django.db import transaction

from live import publish as publish_module
from live.consumer import MAX_TOPICS
from live.tests.conftest import publish, publish_numbers

pytestmark = pytest.mark.django_db(transaction=True)


async def test_who_watches_a_topic_hears_what_is_published_there(connect, viewer):
    socket = await connect(viewer)
    answer = await socket.subscribe("broadcasts")

    await publish("broadcasts", "broadcast.progress", {"id": 7, "percent": 50})

    assert answer == {"type": "subscribed", "topics": ["broadcasts"], "seq": 0}
    assert await socket.hear() == {
        "seq": 1, "topic": "broadcasts", "type": "broadcast.progress", "data": {"id": 7, "percent": 50},
    }  # fmt: skip


async def test_nobody_hears_of_another_topic_nor_after_unsubscribing(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe("broadcast:1", "broadcasts")
    await socket.say(type="unsubscribe", topics=["broadcasts"])
    assert await socket.hear() == {"type": "unsubscribed", "topics": ["broadcasts"]}

    await publish("broadcast:2", "x", {})
    await publish("broadcasts", "x", {})
    await publish("broadcast:1", "x", {})

    assert (await socket.hear())["topic"] == "broadcast:1"


async def test_what_is_rolled_back_is_never_heard(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await database_sync_to_async(_publish_and_roll_back)()
    await publish("broadcasts", "kept", {})

    assert (await socket.hear())["type"] == "kept"


def _publish_and_roll_back() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publish_module.publish("broadcasts", "rolled back", {})
        raise ZeroDivisionError


async def test_ping_is_answered(connect, viewer):
    socket = await connect(viewer)

    await socket.say(type="ping")

    assert await socket.hear() == {"type": "pong"}


NONSENSE = [
    " ",
    "{",
    "[]",
    "7",
    "null",
    '"subscribe"',
    '{"type": 7}',
    '{"type": []}',
    '{"type": "close"}',
    "[" * 8000,
    '{"type": "subscribe"}',
    '{"type": "subscribe", "topics": "broadcasts"}',
    '{"type": "subscribe", "topics": [7]}',
    '{"type": "subscribe", "topics": ["broadcasts"], "since": -1}',
    '{"type": "subscribe", "topics": ["broadcasts"], "since": 1e30}',
    '{"type": "subscribe", "topics": ["broadcasts"], "since": true}',
    '{"type": "subscribe", "topics": ["broadcasts"], "since": 99999999999999999999}',
    '{"type": "subscribe", "topics": ["broadcasts"], "since": ' + "9" * 5000 + "}",
]


async def test_nonsense_is_answered_with_an_error_and_harms_nothing(connect, viewer):
    socket = await connect(viewer)

    for nonsense in NONSENSE:
        await socket.send_to(text_data=nonsense)
        assert (await socket.hear())["type"] == "error", nonsense

    assert (await socket.subscribe("broadcasts"))["type"] == "subscribed"


async def test_an_unknown_topic_is_an_error_and_the_others_are_joined(connect, viewer):
    socket = await connect(viewer)
    unknown = ["unknown", "broadcasts:", "broadcast:1:2", "BROADCASTS", "", "broadcast:" + "1" * 100, "broadcast:1\n"]

    await socket.say(type="subscribe", topics=[*unknown, "broadcasts"])

    for topic in unknown:
        error = await socket.hear()
        assert error["type"] == "error" and error["topic"] == topic
    assert (await socket.hear())["topics"] == ["broadcasts"]


async def test_a_socket_watches_a_limited_number_of_topics(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe(*[f"broadcast:{n}" for n in range(MAX_TOPICS)])

    assert (await socket.subscribe("broadcasts"))["type"] == "error"
    assert (await socket.hear())["topics"] == []
    assert (await socket.subscribe("broadcast:3"))["topics"] == ["broadcast:3"]


async def test_what_postgres_dislikes_in_jsonb_arrives(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await publish("broadcasts", "odd", {"text": "a\0b \ud800 \\u0000 \N{SNOWMAN}"})

    assert (await socket.hear())["data"] == {"text": "a\0b \ud800 \\u0000 \N{SNOWMAN}"}


async def test_a_topic_that_no_app_has_registered_is_refused_to_the_publisher(hub):
    await publish("broadcasts", "x", {})

    with pytest.raises(ValueError, match="No app has registered"):
        await publish("nobodys", "x", {})


@pytest.mark.parametrize("value", ["y" * 40_000, "я" * 20_000, float("nan"), object(), {1, 2}])
async def test_data_that_no_client_can_get_is_replaced_by_a_wish_to_reload(connect, viewer, value):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await publish("broadcasts", "broadcast.progress", {"id": 7, "x": value})
    await publish("broadcasts", "broadcast.progress", {"id": {"no": "id"}, "x": value})
    await publish("broadcasts", "broadcast.progress", {"id": 8})

    heard = await socket.hear_all(3)
    assert [message["data"] for message in heard] == [{"id": 7, "reload": True}, {"reload": True}, {"id": 8}]
    assert {message["type"] for message in heard} == {"broadcast.progress"}


async def test_two_sockets_hear_the_same_in_the_same_order(connect, viewer, marketer):
    sockets = [await connect(viewer), await connect(marketer)]
    for socket in sockets:
        await socket.subscribe("broadcasts")

    await publish_numbers("broadcasts", 150)

    for socket in sockets:
        heard = await socket.hear_all(150)
        assert [message["seq"] for message in heard] == list(range(1, 151))
        assert [message["data"]["n"] for message in heard] == list(range(150))


async def test_the_message_is_json_whatever_its_type_and_topic(connect, viewer):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")

    await publish("broadcasts", 'a "quoted" \\ type', {})

    assert json.loads(json.dumps(await socket.hear()))["type"] == 'a "quoted" \\ type'
