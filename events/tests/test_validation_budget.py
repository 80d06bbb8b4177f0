"""Judging an item takes a bounded amount of work and memory, whatever it holds."""

import gzip
import json
import tracemalloc

import pytest

from events import services
from events.factories import EventTypeFactory, RejectedEventFactory
from events.models import Event, RejectedEvent
from events.rejected.replay import run
from events.tests.sending import committed
from events.validation import budget
from events.validation.budget import UNLIMITED, Budget, BudgetSpent
from events.validation.schemas import compiled

TAGS = {"properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
DEAR = {"additionalProperties": {"items": {"allOf": [{"type": "integer"}] * 100}}}


def judged(schema, payload, allowance=UNLIMITED):
    return compiled(schema).validate(payload, json.dumps(payload).encode(), allowance)


def codes(reasons):
    return [reason["code"] for reason in reasons]


def test_more_values_than_the_schema_allows_are_too_complex():
    assert judged(DEAR, {"a": [1] * 900}) == []
    assert codes(judged(DEAR, {"a": [1] * 1_100})) == ["too_complex"]


def test_commas_within_texts_are_not_values():
    assert judged(DEAR, {"a": [1], "b": "," * 100_000}) == []


def test_many_wrong_values_are_rejected_with_their_first_reason_only():
    found = judged(TAGS, {"tags": [0] * 90_000})

    assert [(reason["code"], reason["pointer"]) for reason in found] == [("type", "/data/tags/0")]


def test_a_few_wrong_values_are_rejected_with_ten_reasons():
    assert codes(judged(TAGS, {"tags": [0] * 200})) == ["type"] * 10


LONG = "x" * 20_000


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"enum": [LONG]}, "enum"),
        ({"const": LONG}, "const"),
        ({"pattern": f"(?x)y # {LONG}"}, "pattern"),
    ],
)
def test_errors_that_repeat_much_of_their_schema_are_listed_for_few_values_only(schema, code):
    schema = {"additionalProperties": {"items": schema}}

    assert codes(judged(schema, {"a": ["z"] * 4})) == [code] * 4
    assert codes(judged(schema, {"a": ["z"] * 1_000})) == [code]


def test_references_to_long_names_count_by_the_places_that_errors_repeat():
    schema = {"$defs": {LONG: {"type": "string"}}, "additionalProperties": {"items": {"$ref": f"#/$defs/{LONG}"}}}

    assert codes(judged(schema, {"a": [1] * 4})) == ["type"] * 4
    assert codes(judged(schema, {"a": [1] * 700})) == ["type"]


DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}


@pytest.mark.parametrize("content", [{"contentMediaType": "application/json"}, {"contentEncoding": "base64"}])
@pytest.mark.parametrize("top", [True, False])
def test_texts_that_are_read_as_json_or_base64_count_by_their_length(content, top):
    part = {"allOf": [content] * 20}
    schema = DRAFT_7 | {"additionalProperties": part} if top else {"additionalProperties": DRAFT_7 | part}
    newest = {"additionalProperties": part}  # where the content is not looked at

    assert judged(schema, {"a": "1000"}) == []
    assert codes(judged(schema, {"a": "1000" * 50_000})) == ["too_complex"]
    assert judged(newest, {"a": "1000" * 50_000}) == []


def test_alternatives_of_a_large_value_are_not_listed():
    either = {"properties": {"tags": {"anyOf": [{"items": {"type": "string"}}] * 10}}}

    assert codes(judged(either, {"tags": [0] * 5_000})) == ["schema"]
    assert codes(judged(either, {"tags": [0]})) == ["anyOf"]


def test_errors_about_names_do_not_copy_the_object_for_each_name():
    names = {"propertyNames": {"maxLength": 0}}
    payload = {str(number): 0 for number in range(20_000)}

    tracemalloc.start()
    found = judged(names, payload)

    assert codes(found) == ["propertyNames"]
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_numbers_that_are_compared_as_fractions_count_more():
    listed = {"additionalProperties": {"items": {"enum": list(range(300))}}}

    assert judged(listed, {"a": [5] * 5_000}) == []
    assert codes(judged(listed, {"a": [5.5] * 5_000})) == ["too_complex"]
    assert codes(judged(listed, {"a": [1e-300]})) == ["enum"]
    assert codes(judged(listed, {"a": [1e-300] * 50})) == ["too_complex"]


def test_a_long_text_counts_by_the_positions_of_its_expressions():
    slow = {"additionalProperties": {"pattern": "[ab]*a[ab]{100}c"}}

    assert codes(judged(slow, {"a": "ab" * 400})) == ["pattern"]
    assert codes(judged(slow, {"a": "ab" * 2_000})) == ["too_complex"]


def test_a_payload_deeper_than_a_recursive_schema_was_computed_for_is_too_complex():
    tree = {"properties": {"a": {"$ref": "#"}}}
    payload: dict = {}
    for _ in range(40):
        payload = {"a": payload}

    assert codes(judged(tree, payload)) == ["too_complex"]
    assert judged(tree, payload["a"]["a"]["a"]["a"]["a"]["a"]["a"]["a"]["a"]["a"]) == []


def test_the_work_of_one_request_is_bounded():
    allowance = Budget(work=2_000)

    judged(DEAR, {"a": [1] * 10}, allowance)
    with pytest.raises(BudgetSpent):
        judged(DEAR, {"a": [1] * 10}, allowance)


def test_reasons_beyond_the_budget_of_the_request_are_only_the_first_ones():
    allowance = Budget(work=10**9, reasons=0)

    assert codes(judged(TAGS, {"tags": [0] * 20}, allowance)) == ["type"]


def packed(body):
    return gzip.compress(json.dumps(body, separators=(",", ":")).encode())


# --- Through the ingest ---------------------------------------------------------------------------
@committed
def test_an_event_with_too_many_values_is_rejected_and_its_neighbours_are_accepted(sender, pageview):
    EventTypeFactory(category="page interaction", name="pageview", schema=TAGS)
    hostile = pageview | {"event_id": None, "data": {"tags": [0] * 250_000}}

    answer = sender.post(packed([pageview, hostile]), content_encoding="gzip")
    alone = sender.post(packed(hostile), content_encoding="gzip")

    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (202, 1, 1)
    assert codes(answer.json["results"][1]["errors"]) == ["too_complex"]
    assert (alone.status, alone.json["rejected"]) == (202, 1)
    assert set(RejectedEvent.objects.values_list("code", flat=True)) == {"too_complex"}


@committed
def test_a_request_of_many_dear_events_is_refused_so_that_its_sender_splits_it(sender, pageview):
    EventTypeFactory(category="page interaction", name="pageview", schema=DEAR)
    events = [pageview | {"event_id": None, "data": {"a": [1] * 800}} for _ in range(60)]

    answer = sender.post(events)
    halves = [sender.post(events[:20]), sender.post(events[20:40])]

    assert answer.status == 413 and "Send fewer" in answer.json["detail"]
    assert [half.json["accepted"] for half in halves] == [20, 20]
    assert Event.objects.count() == 40


@committed
def test_an_event_that_is_dear_but_small_is_judged_outside_the_event_loop(sender, pageview):
    EventTypeFactory(category="page interaction", name="pageview", schema=DEAR)

    answer = sender.post(pageview | {"data": {"a": [1] * 500}})

    assert budget.MAX_INLINE_WORK < 500 * 100
    assert answer.json["accepted"] == 1


@committed
@pytest.mark.parametrize("filling", ["[]", "[[]]", "{}", '[[0],[""]]'])
def test_a_body_of_very_many_arrays_is_rejected_with_a_reason(sender, pageview, filling):
    data = ",".join([filling] * (500_000 // (len(filling) + 1)))
    item = json.dumps(pageview | {"data": {"a": "X"}}).replace('"X"', f"[{data}]")

    answer = sender.post(gzip.compress(f"[{json.dumps(pageview)},{item}]".encode()), content_encoding="gzip")

    assert answer.status == 202
    assert [result["status"] for result in answer.json["results"]] == ["accepted", "rejected"]
    assert codes(answer.json["results"][1]["errors"]) == ["too_complex"]


# --- A stored schema that cannot be used ----------------------------------------------------------
DOUBLED = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level - 1}"}] * 2} for level in range(1, 28)}
BROKEN = [
    {"$defs": {"d0": {}} | DOUBLED, "$ref": "#/$defs/d27"},
    {"properties": {"v": {"maximum": 10**400}}},
    {"type": "objekt"},
    {"$ref": "#"},
    [],
]


@committed
@pytest.mark.parametrize("schema", BROKEN)
def test_a_stored_schema_that_cannot_be_used_harms_its_own_type_only(sender, write_key, pageview, schema):
    EventTypeFactory(category="bad", name="type", schema=schema)
    EventTypeFactory(category="page interaction", name="pageview", schema={"required": ["host"]})
    sent = json.dumps(pageview | {"event_id": None, "data": {"host": "a"}}).encode()
    kept = RejectedEventFactory(
        application=write_key.application, category="page interaction", name="pageview", raw=sent
    )

    answer = sender.post([pageview, pageview | {"event_id": None, "category": "bad", "name": "type"}])
    event = services.update_event(event=Event.objects.get(), data={"host": "example.org"})
    dry = services.dry_run(category="page interaction", name="pageview", schema={"required": ["path"]})
    replay = services.start_replay(selection=services.Selection(ids=(kept.pk,)))
    run(replay.pk)

    assert [result["status"] for result in answer.json["results"]] == ["accepted", "rejected"]
    assert codes(answer.json["results"][1]["errors"]) == ["broken_schema"]
    assert event.data == {"host": "example.org"}
    assert (dry.complete, dry.rejected_now.checked) == (True, 1)
    replay.refresh_from_db()
    assert (replay.accepted, replay.finished_at is not None) == (1, True)


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1e20, 10**20, 1e300, 5e-324, 2**64 - 1, -(2**63), 0.1])
def test_numbers_of_a_published_schema_survive_the_way_to_the_database_and_back(number):
    event_type = services.create_event_type(
        category="shop", name="sale", schema={"properties": {"v": {"maximum": number}}}
    )
    event_type.refresh_from_db()

    again = services.publish_schema(event_type=event_type, schema=event_type.schema)

    assert again.version == 1
    assert services.dry_run(category="shop", name="sale", schema=event_type.schema).complete


@pytest.mark.django_db
@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400, float("inf")])
def test_numbers_that_would_not_survive_are_refused(number):
    with pytest.raises(services.SchemaError, match=r"64 bits|too large|too long"):
        services.create_event_type(category="shop", name="sale", schema={"maximum": number})
