"""What an application sends, what it is told, and what is stored."""

import gzip
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.utils import timezone

from events.factories import EventTypeFactory, WriteKeyFactory
from events.models import Batch, Event, RejectedEvent
from events.models.event import BATCH_ROWS
from events.rejected.groups import groups
from events.tests.sending import Sender, committed, in_parts

pytestmark = committed
SAMPLE = Path(__file__).parent / "sample.json"


def test_an_accepted_event_is_there_when_the_answer_is(sender, pageview, write_key):
    answer = sender.post(pageview)

    assert answer.status == 202
    assert answer.json == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": 0,
        "results": [{"event_id": pageview["event_id"], "status": "accepted", "errors": []}],
    }
    event = Event.objects.get(application=write_key.application)
    assert str(event.event_id) == pageview["event_id"]
    assert (event.session_id, event.category, event.name) == (
        pageview["session_id"],
        "page interaction",
        "pageview",
    )
    assert event.data == {"host": "www.example.com", "path": "/"}
    assert event.timestamp == datetime.fromisoformat(pageview["timestamp"])


def test_the_three_events_of_the_sample_arrive(sender):
    answer = sender.post(SAMPLE.read_bytes())

    assert answer.json["accepted"] == 3
    events = Event.objects.filter(session_id="e2085be5-9137-4e4e-80b5-f1ffddc25423").order_by("timestamp")
    assert [event.name for event in events] == ["pageview", "cta click", "submit"]
    assert events[0].timestamp == datetime(2021, 1, 1, 9, 15, 27, 243860, tzinfo=UTC)
    assert Event.objects.filter(category="form interaction").count() == 1


def test_a_retried_id_is_a_duplicate(sender, pageview):
    sender.post(pageview)

    answer = sender.post(pageview)

    assert (answer.status, answer.json["duplicates"], answer.json["accepted"]) == (202, 1, 0)
    assert answer.json["results"][0] == {"event_id": pageview["event_id"], "status": "duplicate", "errors": []}
    assert Event.objects.count() == 1


def test_of_the_same_event_in_two_requests_at_once_one_is_a_duplicate(sender, pageview):
    answers = sender.post_together(*[pageview] * 20)

    assert sum(answer.json["accepted"] for answer in answers) == 1
    assert sum(answer.json["duplicates"] for answer in answers) == 19
    assert Event.objects.count() == 1


def test_of_the_same_event_twice_in_one_request_one_is_a_duplicate(sender, pageview):
    answer = sender.post([pageview, pageview])

    assert [result["status"] for result in answer.json["results"]] == ["accepted", "duplicate"]


@pytest.mark.parametrize("number", [1, 63, 64, 500])
def test_a_retried_batch_has_its_new_events_stored(sender, pageview, number):
    events = [pageview | {"event_id": str(UUID(int=place))} for place in range(number)]
    sender.post(events[: number // 2])

    answer = sender.post(events)

    assert answer.json["duplicates"] == number // 2
    assert answer.json["accepted"] == number - number // 2
    statuses = ["duplicate"] * (number // 2) + ["accepted"] * (number - number // 2)
    assert [result["status"] for result in answer.json["results"]] == statuses
    assert Event.objects.count() == number


def test_two_applications_may_use_the_same_id(sender, pageview):
    other = WriteKeyFactory(secret="wk_of-the-blog")
    sender.post(pageview)
    sender.key = "wk_of-the-blog"

    answer = sender.post(pageview)

    assert answer.json["accepted"] == 1
    assert set(Event.objects.values_list("application__name", flat=True)) == {"Shop", other.application.name}


def test_an_event_without_an_id_gets_one(sender, pageview):
    del pageview["event_id"]

    answer = sender.post(pageview)

    assert Event.objects.get().event_id == UUID(answer.json["results"][0]["event_id"])


@pytest.mark.parametrize("number", [2, 200])
def test_a_wrong_event_is_kept_beside_its_right_neighbours(sender, pageview, write_key, number):
    wrong = json.dumps(pageview | {"session_id": 17}, indent=3)
    right = [json.dumps(pageview | {"event_id": str(UUID(int=place))}) for place in range(number)]

    answer = sender.post(f"[ {right[0]}, {wrong} , {','.join(right[1:])}]".encode())

    assert (answer.json["accepted"], answer.json["rejected"]) == (number, 1)
    reason = {"code": "type", "pointer": "/session_id", "message": 'This is not of type "string".'}
    assert answer.json["results"][1] == {"event_id": pageview["event_id"], "status": "rejected", "errors": [reason]}
    rejected = RejectedEvent.objects.get()
    assert bytes(rejected.raw) == wrong.encode()
    assert rejected.application == write_key.application
    assert (rejected.code, rejected.pointer, rejected.reasons) == ("type", "/session_id", [reason])
    assert (rejected.category, rejected.name) == ("page interaction", "pageview")


def test_a_wrong_event_that_is_sent_again_is_kept_once_and_told_the_same(sender, pageview):
    pageview["session_id"] = ""
    first = sender.post(pageview)

    again = sender.post(pageview)

    assert again.json == first.json
    assert RejectedEvent.objects.count() == 1


def test_an_event_from_the_future_is_rejected(sender, pageview):
    pageview["timestamp"] = (timezone.now() + timedelta(seconds=360)).isoformat()

    answer = sender.post(pageview)

    assert answer.json["rejected"] == 1
    assert RejectedEvent.objects.get().code == "future"


def test_a_clock_may_be_a_little_ahead(sender, pageview):
    pageview["timestamp"] = (timezone.now() + timedelta(seconds=240)).isoformat()

    assert sender.post(pageview).json["accepted"] == 1


def test_an_event_from_before_what_is_kept_is_rejected(sender, pageview):
    pageview["timestamp"] = "1999-12-31T23:59:59Z"

    sender.post(pageview)

    assert RejectedEvent.objects.get().code == "too_old"


def test_a_payload_is_measured_by_its_types_schema(sender, pageview):
    EventTypeFactory(name="pageview", schema={"type": "object", "required": ["host", "referrer"]})

    answer = sender.post(pageview)

    reason = {"code": "required", "pointer": "/data/referrer", "message": '"referrer" is a required property'}
    assert answer.json["results"][0]["errors"] == [reason]
    assert RejectedEvent.objects.get().pointer == "/data/referrer"


def test_an_unknown_type_is_taken_or_not_as_the_application_says(sender, pageview, write_key):
    write_key.application.unknown_types = "rejected"
    write_key.application.save()

    assert sender.post(pageview).json["results"][0]["errors"][0]["code"] == "unknown_type"


def test_the_batch_names_its_events_and_their_span(sender, pageview):
    early = pageview | {"event_id": str(UUID(int=1)), "timestamp": "2025-01-01T00:00:00Z"}
    late = pageview | {"event_id": str(UUID(int=2)), "timestamp": "2025-02-01T00:00:00Z"}

    sender.post([late, early, pageview | {"name": ""}])

    batch = Batch.objects.get()
    assert (batch.events, batch.rejected) == (2, 1)
    assert (batch.first_timestamp.month, batch.last_timestamp.month) == (1, 2)
    assert [event.id - batch.id * BATCH_ROWS for event in Event.objects.order_by("id")] == [0, 1]
    assert list(Event.objects.order_by("id").values_list("event_id", flat=True)) == [UUID(int=2), UUID(int=1)]
    assert RejectedEvent.objects.get().id == batch.id * BATCH_ROWS


def test_a_batch_of_nothing_new_is_not_kept(sender, pageview):
    sender.post([pageview, pageview | {"name": ""}])

    sender.post([pageview, pageview | {"name": ""}])

    assert Batch.objects.count() == 1


def test_an_empty_array_is_an_answer_of_nothing(sender):
    answer = sender.post(b" [ ] ")

    assert (answer.status, answer.json["results"]) == (202, [])


def test_a_body_that_is_no_json_is_told_so_and_kept_once(sender):
    answers = [sender.post(b"name=pageview&host=example.com") for _ in range(2)]

    assert [answer.status for answer in answers] == [400, 400]
    assert answers[0].headers["content-type"] == "application/problem+json"
    rejected = RejectedEvent.objects.get()
    assert (rejected.code, bytes(rejected.raw)) == ("not_json", b"name=pageview&host=example.com")
    assert answers[0].json["results"][0]["event_id"] == str(rejected.event_id)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wk_of-the-shop"},
        {"authorization": "", "x_write_key": "wk_of-the-shop"},
        {"authorization": "", "query": "write_key=wk_of-the-shop"},
    ],
)
def test_a_key_may_come_in_three_ways(sender, pageview, headers):
    body = in_parts(json.dumps(pageview).encode())

    assert sender.runner.run(sender.request(body, **headers)).status == 202


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "", "application/x-www-form-urlencoded"])
def test_beacons_and_curl_send_json_under_other_names(sender, pageview, kind):
    assert sender.post(pageview, content_type=kind).status == 202


def test_a_body_may_come_in_parts_and_compressed(sender, pageview):
    content = gzip.compress(json.dumps(pageview).encode())
    body = in_parts(content[:10], content[10:20], content[20:])

    assert sender.runner.run(sender.request(body, content_encoding="gzip")).json["accepted"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wk_of-nobody"}, 401),
        ({"authorization": "Token wk_of-the-shop"}, 401),
        ({"content_type": "application/xml"}, 415),
        ({"content_encoding": "br"}, 415),
        ({"content_encoding": "gzip"}, 400),
        ({"content_length": "600000"}, 413),
    ],
)
def test_what_is_not_taken_is_refused_with_a_problem(sender, pageview, headers, status):
    answer = sender.post(pageview, **headers)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json["status"], bool(answer.json["detail"])) == (status, True)
    assert not Event.objects.exists() and not RejectedEvent.objects.exists()


def test_a_request_has_500_events_at_most(sender, pageview):
    answer = sender.post([pageview] * 501)

    assert answer.status == 413
    assert not Event.objects.exists()


def test_an_expired_key_and_one_of_a_paused_application_are_refused(sender, pageview, write_key):
    write_key.expires_at = timezone.now()
    write_key.save()
    assert sender.post(pageview).status == 401

    write_key.expires_at = None
    write_key.save()
    write_key.application.paused = True
    write_key.application.save()
    assert sender.post(pageview).status == 401


def test_who_sends_more_than_agreed_is_asked_to_wait(sender, pageview, write_key):
    write_key.application.rate = 10
    write_key.application.save()

    assert sender.post([pageview] * 30).status == 202
    answer = sender.post(pageview)

    assert (answer.status, answer.headers["retry-after"]) == (429, "2")


def preflight(sender: Sender, origin: str, **more: str):
    asked = {"origin": origin, "access_control_request_method": "POST", "authorization": "", "content_type": "", **more}
    return sender.runner.run(sender.request(in_parts(b""), method="OPTIONS", **asked))


def test_a_page_of_any_origin_may_send(sender, pageview):
    allowed = preflight(sender, "https://shop.example.com")
    answer = sender.post(pageview, origin="https://shop.example.com")

    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, "https://shop.example.com")
    assert "x-write-key" in allowed.headers["access-control-allow-headers"]
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (202, "https://shop.example.com")
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert answer.headers["vary"] == "origin"


def test_a_page_may_send_whatever_headers_its_tracing_adds(sender):
    added = "baggage,sentry-trace,traceparent,x-datadog-trace-id"

    allowed = preflight(sender, "https://shop.example.com", access_control_request_headers=added)

    assert allowed.headers["access-control-allow-headers"] == added


def test_a_beacon_of_json_is_let_in_with_the_credentials_that_every_beacon_has(sender):
    allowed = preflight(sender, "https://shop.example.com", access_control_request_headers="content-type")

    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example.com"


@pytest.mark.parametrize("asked", ["", "a b", "x\x00", ", ,", "é"])
def test_a_preflight_never_repeats_what_is_not_the_name_of_a_header(sender, asked):
    allowed = preflight(sender, "https://shop.example.com", access_control_request_headers=asked)

    assert allowed.headers["access-control-allow-headers"].startswith("authorization, ")


def post_at(sender, body, sent_at):
    return sender.runner.run(sender.request(in_parts(json.dumps(body).encode()), query=f"sent_at={sent_at}"))


@pytest.mark.parametrize("seconds", [-86_400, 3_600])
def test_a_sender_whose_clock_is_wrong_learns_the_time_and_nothing_is_stored(sender, pageview, seconds):
    before = int(time.time() * 1000)

    answer = post_at(sender, pageview, before + seconds * 1000)

    assert answer.status == 409
    assert before <= answer.json["now"] <= int(time.time() * 1000)
    assert (Event.objects.count(), RejectedEvent.objects.count()) == (0, 0)


def test_a_clock_that_is_right_enough_is_taken_and_one_that_is_not_a_number_is_refused(sender, pageview):
    assert post_at(sender, pageview, int(time.time() * 1000) + 30_000).status == 202
    assert post_at(sender, pageview, "noon").status == 400


def test_json_behind_a_byte_order_mark_is_read(sender, pageview):
    answer = sender.post(b"\xef\xbb\xbf" + json.dumps([pageview]).encode())

    assert (answer.status, answer.json["accepted"]) == (202, 1)


def test_a_gzip_stream_may_have_several_members_and_its_old_name(sender, pageview):
    body = json.dumps(pageview).encode()
    members = gzip.compress(body[:50]) + gzip.compress(body[50:])

    answer = sender.post(members, content_encoding="x-gzip")

    assert (answer.status, answer.json["accepted"]) == (202, 1)


def test_a_gzip_stream_of_very_many_members_is_refused(sender, pageview):
    members = gzip.compress(json.dumps(pageview).encode()) + gzip.compress(b" ") * 1_000

    assert sender.post(members, content_encoding="gzip").status == 400


@pytest.mark.parametrize("cut", [b"", b",", b" , "])
def test_an_array_without_an_end_has_its_events_stored_and_the_missing_end_reported(sender, pageview, cut):
    answer = sender.post(b"[" + json.dumps(pageview).encode() + cut)

    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (202, 1, 1)
    assert answer.json["results"][1]["errors"][0]["message"] == 'The array is not closed: its "]" is missing.'
    assert Event.objects.count() == RejectedEvent.objects.count() == 1


def test_one_mistake_is_one_group_wherever_it_is_in_a_list_and_whatever_the_member_is_called(sender, pageview):
    EventTypeFactory(
        category=pageview["category"],
        name=pageview["name"],
        schema={
            "properties": {
                "items": {"type": "array", "items": {"properties": {"price": {"type": "number"}}}},
                "counts": {"additionalProperties": {"type": "integer"}},
                "known": {"properties": {"a": {}}, "additionalProperties": False},
            }
        },
    )
    wrong = [{"items": [{}] * place + [{"price": "1"}]} for place in range(5)]
    wrong += [{"counts": {f"sku-{number}": "1"}} for number in range(5)]
    wrong += [{"known": {f"tag-{number}": 1}} for number in range(5)]

    answer = sender.post([pageview | {"event_id": str(uuid.uuid4()), "data": data} for data in wrong])

    assert answer.json["rejected"] == 15
    assert answer.json["results"][1]["errors"] == [
        {
            "code": "type",
            "pointer": "/data/items/1/price",
            "place": "/data/items/*/price",
            "message": answer.json["results"][1]["errors"][0]["message"],
        }
    ]
    assert sorted((group.code, group.pointer, group.count) for group in groups()) == [
        ("additionalProperties", "/data/known/*", 5),
        ("type", "/data/counts/*", 5),
        ("type", "/data/items/*/price", 5),
    ]


def test_a_page_of_a_foreign_origin_is_refused(sender, pageview, write_key):
    write_key.application.allowed_origins = ["https://shop.example.com"]
    write_key.application.save()

    assert sender.post(pageview, origin="https://shop.example.com").status == 202
    answer = sender.post(pageview, origin="https://shop.example.com.evil.org")

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
