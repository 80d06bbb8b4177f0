"""Whatever is sent: never a 5xx, each item ends in exactly one place, and what is stored can be shown."""

import asyncio
import gzip
import json
import zlib
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.ingest import request_body
from events.ingest.registry import hash_of
from events.models import Event, RejectedEvent
from events.tests.sending import committed, in_parts
from events.tests.test_envelope import ANY_JSON, BROKEN, FAULTY

pytestmark = committed


def shown() -> int:
    """Read every row back as the admin and the REST interface do, and return how many there are."""
    events, rejected = list(Event.objects.all()), list(RejectedEvent.objects.all())
    for event in events:
        json.dumps([event.data, event.session_id, str(event), event.timestamp.isoformat()]).encode()
    for event in rejected:
        json.dumps([event.reasons, event.category, event.name, str(event), bytes(event.raw).decode(errors="replace")])
    return len(events) + len(rejected)


def accounted(answer, before: int = 0) -> None:
    """Hold the answer against the store: everything that was taken is in one of the two tables."""
    assert answer.status < 500
    results = answer.json.get("results", [])
    ids = [UUID(result["event_id"]) for result in results]
    stored = Event.objects.filter(event_id__in=ids).count()
    kept = RejectedEvent.objects.filter(event_id__in=ids).count()
    assert stored == sum(result["status"] == "accepted" for result in results)
    assert kept == sum(result["status"] == "rejected" for result in results)
    assert shown() - before == stored + kept


@pytest.mark.parametrize("hostile", [*FAULTY, *BROKEN])
@pytest.mark.parametrize("neighbours", [2, 100])
def test_a_hostile_item_is_kept_and_its_neighbours_are_stored(sender, pageview, hostile, neighbours):
    right = [json.dumps(pageview | {"event_id": str(UUID(int=place))}).encode() for place in range(neighbours)]

    answer = sender.post(b"[" + b",".join([*right, hostile]) + b"]")

    assert answer.status == 202
    accounted(answer)
    assert answer.json["accepted"] == neighbours
    assert answer.json["rejected"] >= 1


@pytest.mark.parametrize("hostile", [*FAULTY[:-1], *BROKEN, b'"', b"\xff\xfe{\x00}\x00", b'{"a": 1}{"b": 2}', b"null"])
def test_a_hostile_body_is_kept(sender, hostile):
    answer = sender.post(hostile)

    assert answer.status in (202, 400)
    accounted(answer)
    assert bytes(RejectedEvent.objects.earliest("id").raw) in hostile
    assert RejectedEvent.objects.exists()


def test_texts_that_copy_and_json_have_words_for_arrive_as_they_were_sent(sender, pageview):
    texts = ["\\.", "\\N", "a\tb\nc\rd", "\\", '"', "'", "{}", "\u2028", "é\U0001f600", "\\u0041", "\x01\x7f", " "]
    events = [
        pageview | {"event_id": str(UUID(int=place)), "session_id": text, "name": text, "data": {text: text}}
        for place, text in enumerate(texts * 10)
    ]

    few, many = sender.post(events[:12]), sender.post(events[12:])

    assert (few.json["accepted"], many.json["accepted"]) == (12, 108)
    for event in Event.objects.order_by("event_id"):
        text = texts[event.event_id.int % 12]
        assert (event.session_id, event.name, event.data) == (text, text, {text: text})


def test_a_body_of_ten_megabytes_is_refused(sender):
    parts = [b"[" + b" " * 65536] + [b" " * 65536] * 160

    answer = sender.runner.run(sender.request(in_parts(*parts)))

    assert answer.status == 413


@pytest.mark.parametrize("filling", [b" ", b"[", b"\0", b'{"a":'])
def test_a_gzip_bomb_does_not_go_off(sender, filling):
    bomb = zlib.compressobj(9, wbits=31)
    content = b"".join(bomb.compress(filling * 1_000_000) for _ in range(50)) + bomb.flush()

    answer = sender.post(content[:500_000], content_encoding="gzip")

    assert answer.status == 413
    assert not RejectedEvent.objects.exists()


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 5), slice(1, None)])
def test_a_broken_gzip_stream_is_refused(sender, pageview, cut):
    content = gzip.compress(json.dumps(pageview).encode())

    assert sender.post(content[cut], content_encoding="gzip").status == 400
    assert sender.post(content + b"more", content_encoding="gzip").status == 400


def test_a_body_that_takes_too_long_is_given_up(sender, monkeypatch):
    monkeypatch.setattr(request_body, "BODY_TIMEOUT", 0.05)

    async def drip():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    answer = sender.runner.run(sender.request(drip))

    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert sender.app.limits.weight == len(sender.app.limits.running) == 0


def test_whoever_hangs_up_gets_no_answer_and_holds_nothing(sender):
    async def hang_up():
        return {"type": "http.disconnect"}

    assert sender.runner.run(sender.request(hang_up)).status == 0
    assert sender.app.limits.weight == len(sender.app.limits.running) == 0


@pytest.mark.parametrize("key", ["", " ", "\xff" * 5000, "wk_of-the-shop ", "WK_OF-THE-SHOP", "\t", "wk_of-the-shop\0"])
def test_a_wrong_key_is_no_key(sender, pageview, key):
    body = in_parts(json.dumps(pageview).encode())

    assert sender.runner.run(sender.request(body, authorization="", x_write_key=key)).status == 401


def test_a_key_that_is_too_long_is_not_even_remembered(sender, pageview):
    hash_of.cache_clear()
    sender.key = "x" * 5000

    assert sender.post(pageview).status == 401
    assert hash_of.cache_info().currsize == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1) | st.binary().map(b"[".__add__) | ANY_JSON.map(lambda v: json.dumps(v).encode()))
def test_whatever_bytes_are_sent_end_in_exactly_one_place(sender, content):
    before = shown()

    answer = sender.post(content)

    assert answer.status in (202, 400, 413)
    if answer.status == 202:
        accounted(answer, before)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from(["event_id", "session_id", "category", "name", "data", "timestamp", "more"]), ANY_JSON
    ),
    data=st.dictionaries(st.text(), ANY_JSON),
    text=st.text(min_size=1, max_size=100),
)
def test_whatever_events_are_sent_end_in_exactly_one_place(sender, pageview, changes, data, text):
    pageview.pop("event_id", None)
    before = shown()

    answer = sender.post([pageview | changes, pageview | {"data": data}, pageview | {"session_id": text}, pageview])

    assert answer.status == 202
    accounted(answer, before)
    assert answer.json["results"][3]["status"] == "accepted"
