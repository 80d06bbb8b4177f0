"""From bytes to checked events, without a database."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.validation.budget import UNLIMITED
from events.validation.event import read
from events.validation.parser import MAX_ITEMS, Body, TooManyItems, split
from events.validation.rules import ApplicationSettings, Rules
from events.validation.schemas import compiled

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RIGHT = {
    "event_id": "5f6bb1f4-4e2c-4a6e-9d5b-0d3f3f1c2b1a",
    "session_id": "s-1",
    "category": "page interaction",
    "name": "pageview",
    "data": {"host": "example.com"},
    "timestamp": "2026-06-01T11:59:00Z",
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def checked(content: bytes, types=None, **settings):
    return read(content, Rules.for_application(ApplicationSettings(1, **settings), types or {}, now=NOW))


def one(**changes):
    """The only item, of a right event with these changes; `...` removes a member."""
    event = {name: value for name, value in (RIGHT | changes).items() if value is not ...}
    return checked(json.dumps(event).encode())[0]


def reasons(item):
    return [(reason["code"], reason["pointer"]) for reason in item.reasons]


def test_a_right_event_is_read():
    item = one()

    assert item.reasons == []
    assert (item.event_id, item.session_id, item.name) == (RIGHT["event_id"], "s-1", "pageview")
    assert json.loads(item.data) == {"host": "example.com"}
    assert item.timestamp == datetime(2026, 6, 1, 11, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-06-01 09:15:27.243860", datetime(2026, 6, 1, 9, 15, 27, 243860, tzinfo=UTC)),
        ("2026-06-01T09:15:27+02:00", datetime(2026, 6, 1, 7, 15, 27, tzinfo=UTC)),
        ("2026-06-01T09:15:27.123456789Z", datetime(2026, 6, 1, 9, 15, 27, 123456, tzinfo=UTC)),
        ("2026-06-01T09:15Z", datetime(2026, 6, 1, 9, 15, tzinfo=UTC)),
        ("2026-06-01t09:15:27z", datetime(2026, 6, 1, 9, 15, 27, tzinfo=UTC)),
        ("2026-05-31T23:59:60Z", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-05-31T23:59:60.25+00:00", datetime(2026, 6, 1, 0, 0, 0, 250000, tzinfo=UTC)),
    ],
)
def test_a_timestamp_may_be_written_in_several_ways(written, meant):
    assert one(timestamp=written).timestamp == meant


@pytest.mark.parametrize(
    "written",
    [
        "99999-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-06-01",
        "2026-W01-1T00:00",
        "2026-06-01T09:15:27+99:00",
        "0001-01-01T00:00:00+14:00",
        "２０２６-06-01T00:00:00Z",
        "20260601T000000Z",
        "2026-06-01T09:15:61Z",
        "2026-06-01T09:60:00Z",
        "now",
        "",
    ],
)
def test_what_is_no_time_is_told_so(written):
    assert reasons(one(timestamp=written)) == [("format", "/timestamp")]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"event_id": "abc"}, [("format", "/event_id")]),
        ({"event_id": 5}, [("format", "/event_id")]),
        ({"session_id": ...}, [("required", "/session_id")]),
        ({"session_id": None}, [("type", "/session_id")]),
        ({"category": ""}, [("minLength", "/category")]),
        ({"name": "x" * 101}, [("maxLength", "/name")]),
        ({"data": ...}, [("required", "/data")]),
        ({"data": ["host"]}, [("type", "/data")]),
        ({"timestamp": ...}, [("required", "/timestamp")]),
        ({"timestamp": 1780000000}, [("type", "/timestamp")]),
        ({"timestamp": "2026-06-01T12:05:01Z"}, [("future", "/timestamp")]),
        ({"timestamp": "2016-01-01T00:00:00Z"}, [("too_old", "/timestamp")]),
        ({"session_id": 5, "name": 6}, [("type", "/session_id"), ("type", "/name")]),
        ({"data": {"a/b": [{"~": "\0"}]}}, [("nul", "/data/a~1b/0/~0")]),
        ({"data": {"\0": 1}}, [("nul", "/data/\ufffd")]),
        ({"session_id": "\ud800"}, [("surrogate", "/session_id")]),
        ({"data": {"n": float("nan")}}, [("number", "/data/n")]),
        ({"data": {"n": 2**64}}, [("number", "/data/n")]),
        ({"data": {"n": -(2**63) - 1}}, [("number", "/data/n")]),
    ],
)
def test_every_fault_has_its_code_and_its_place(changes, found):
    assert reasons(one(**changes)) == found


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0.1, 1e300, 10**18])
def test_numbers_are_stored_as_they_were_sent(number):
    item = one(data={"n": number})

    assert (item.reasons, json.loads(item.data)) == ([], {"n": number})


def test_escapes_that_only_look_like_nul_are_right():
    item = one(data={"path": "C:\\u0000"})

    assert (item.reasons, json.loads(item.data)) == ([], {"path": "C:\\u0000"})


def test_long_digits_in_a_text_are_right():
    assert one(data={"card": "1" * 40}).reasons == []


def test_an_event_without_an_id_gets_a_new_one_each_time():
    assert one(event_id=...).event_id != one(event_id=...).event_id
    assert one(event_id=None).reasons == []


def test_an_id_is_brought_into_its_usual_form():
    assert one(event_id="{5F6BB1F44E2C4A6E9D5B0D3F3F1C2B1A}").event_id == RIGHT["event_id"]


def test_members_that_nobody_knows_are_left_out():
    assert one(sdk="3.1").reasons == []


def test_of_a_member_that_is_there_twice_the_last_counts():
    content = json.dumps(RIGHT)[:-1].encode() + b', "name": "cta click"}'

    assert checked(content)[0].name == "cta click"


@pytest.mark.parametrize("value", [None, 5, "text", True, []])
def test_what_is_no_object_is_no_event(value):
    item = checked(json.dumps([value]).encode())[0]

    assert reasons(item) == [("type", "")]
    assert item.event_id


@pytest.mark.parametrize("levels", [300, 2_000, 100_000])
def test_deep_nesting_is_told_so(levels):
    deep = "[" * levels + "]" * levels
    event = json.dumps(RIGHT).replace('"example.com"', deep)

    items = checked(f"[{json.dumps(RIGHT)}, {event}, {json.dumps(RIGHT)}]".encode())

    assert [[reason["code"] for reason in item.reasons] for item in items] == [[], ["depth"], []]


FAULTY = [
    b'{"a": NaN}',
    b'{"a": 1e400}',
    b'{"a": "\\u0000"}',
    b'{"a": "\\ud800"}',
    b'{"a": "\xff"}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a" 1}',
    b"\xed\xa0\x80",
    b"\x00",
    b"nul",
    b"[[]]",
    b"",
]
BROKEN = [b"{", b'"', b"[" * 100, b"}"]  # where it ends cannot be told


@pytest.mark.parametrize("hostile", [*FAULTY, *BROKEN])
def test_a_hostile_item_harms_no_item_before_it_and_keeps_its_bytes(hostile):
    right = json.dumps(RIGHT).encode()

    items = checked(b"[" + right + b", " + right + b", " + hostile + b"]")

    assert [item.reasons for item in items[:2]] == [[], []]
    assert all(item.reasons for item in items[2:])
    assert items[2].raw in hostile + b"]"


@pytest.mark.parametrize("hostile", FAULTY)
def test_a_hostile_item_harms_no_item_behind_it(hostile):
    right = json.dumps(RIGHT).encode()

    items = checked(b"[" + hostile + b"," + right + b"]")

    assert items[0].reasons and items[0].raw == hostile
    assert items[1].reasons == [] and items[1].raw == right


def test_a_body_that_was_cut_off_loses_only_its_last_item():
    right = json.dumps(RIGHT).encode()

    items = checked(b"[" + right + b"," + right[:50])

    assert [bool(item.reasons) for item in items] == [False, True]
    assert items[1].raw == right[:50]


@pytest.mark.parametrize("item", [b"1", b"NaN", b""])
def test_more_items_than_allowed_are_not_read(item):
    with pytest.raises(TooManyItems):
        checked(b"[" + b",".join([item] * (MAX_ITEMS + 1)) + b"]")


@settings(deadline=None)
@given(st.lists(ANY_JSON, max_size=5))
def test_an_array_is_cut_where_its_items_end(values):
    texts = [json.dumps(value).encode() for value in values]

    assert split(b" [" + b" ,\n".join(texts) + b" ] ") == (texts, True)


@settings(deadline=None)
@given(st.binary() | st.binary().map(b"[".__add__))
@example(b"[[[")
@example(b'["')
@example(b"[1]]")
def test_whatever_is_sent_is_read_without_an_error(content):
    for item in checked(content):
        assert item.raw in content
        assert item.event_id
        assert all(reason["code"] and len(reason["message"]) <= 300 for reason in item.reasons)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*RIGHT, "more"]), ANY_JSON))
def test_whatever_json_is_sent_its_reasons_can_be_written_down(changes):
    item = checked(json.dumps(RIGHT | changes).encode())[0]

    json.dumps(item.reasons).encode()
    assert "\0" not in item.category + item.name + "".join(reason["pointer"] for reason in item.reasons)
    assert len(item.reasons) <= 10


def judged(schema, payload):
    return schema.validate(payload, json.dumps(payload).encode(), UNLIMITED)


def test_one_schema_may_find_many_faults_but_only_ten_are_told():
    validator = compiled({"items": {"type": "string"}})

    assert len(judged(validator, list(range(1000)))) == 10


def test_a_reason_names_the_member_but_never_its_value():
    schema = {"properties": {"email": {"format": "email"}, "age": {"maximum": 10}}, "additionalProperties": False}
    secret = {"email": "secret", "age": 4711, "more": "secret"}

    found = judged(compiled(schema), secret)

    assert {(reason["code"], reason["pointer"]) for reason in found} == {
        ("format", "/data/email"),
        ("maximum", "/data/age"),
        ("additionalProperties", "/data/more"),
    }
    assert "secret" not in str(found) and "4711" not in str(found)


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "https://example.com/schema"}, {"pattern": "(?=a)b"}, {"$ref": "#/no"}, 5]
)
def test_a_schema_that_cannot_be_used_is_told_so(schema):
    with pytest.raises(ValueError, match=r"\w"):
        compiled(schema)


def test_bytes_are_kept_as_they_came():
    body = Body(b' [ {"a" :1} ,\t{"b":"],"} ] ')

    assert body.raws == [b'{"a" :1}', b'{"b":"],"}']
