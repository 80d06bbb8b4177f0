"""JSON from clients is read so that Postgres can store it, or refused with the place of the problem."""

import json

import pytest

from core.rest import strict_json
from core.rest.strict_json import MAX_DEPTH, NotStrictJson, by_field, read_json


def refusal(content: bytes) -> NotStrictJson:
    with pytest.raises(NotStrictJson) as caught:
        read_json(content)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        {}, [], None, True, 0, -0.5, "", "a\nb\t\U0001f600", 2**64 - 1, -(2**63), 1.7976931348623157e308, 5e-324,
        {"a": [1, {"b": "ž"}], "": {"~/": None}}, "12345678901234567890123", "\\u0000 is written here, not meant",
    ],
)  # fmt: skip
def test_what_postgres_can_hold_is_read_as_python_reads_it(value):
    for content in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode()):
        read = read_json(content)

        assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        (rb'{"title": "a\u0000b"}', "title", "Text must not contain the character NUL."),
        (rb'{"data": {"a/b": ["x", "\u0000"]}}', "data", "/a~1b/1: Text must not contain the character NUL."),
        (rb'{"data": {"\u0000": 1}}', "data", "/\N{REPLACEMENT CHARACTER}: Text must not contain the character NUL."),
        (rb'{"title": "\ud800"}', "title", "This text contains half of a surrogate pair."),
        (rb'{"\udfff": 1}', "\N{REPLACEMENT CHARACTER}", "This text contains half of a surrogate pair."),
        (b'{"n": NaN}', "n", "This number is beyond 64 bits or not finite."),
        (b'{"n": [-Infinity]}', "n", "/0: This number is beyond 64 bits or not finite."),
        (b'{"n": 1e400}', "n", "This number is beyond 64 bits or not finite."),
        (b'{"n": 100000000000000000001}', "n", "This number is beyond 64 bits or not finite."),
        (b'{"n": ' + b"9" * 1_000_000 + b"}", "n", "This number is beyond 64 bits or not finite."),
        (b'{"d": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "d", "This is nested more than 256 levels deep."),
        (rb'["\u0000"]', "", "/0: Text must not contain the character NUL."),
        (b"NaN", "", "This number is beyond 64 bits or not finite."),
        (b"", "", "JSON parse error: Expecting value at character 0."),
        (b'{"a" 1}', "", "JSON parse error: Expecting ':' delimiter at character 5."),
        (b"\xff{}", "", "Byte 0 is not UTF-8."),
        ("\ufeff{}".encode(), "", "JSON parse error: Unexpected UTF-8 BOM (decode using utf-8-sig) at character 0."),
        (b'"a\x00b"', "", "JSON parse error: Invalid control character at at character 2."),
        (
            b'{"]]]": ' + b"[" * 100_000,
            "",
            "This is nested more than 256 levels deep. Character 263 opens one more.",
        ),
    ],
)
def test_what_postgres_cannot_hold_is_refused_with_its_place(content, field, words):
    assert by_field(refusal(content)) == {field: [words]}


@pytest.mark.parametrize("digits", ["100000000000000000000", "-10000000000000000000", "1" + "0" * 308])
def test_an_integer_that_is_a_float_written_out_is_read_as_that_float(digits):
    assert read_json(digits.encode()) == float(digits) and type(read_json(digits.encode())) is float


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("times", [300, 1_030, 100_000, 500_000])
def test_no_depth_is_more_than_a_refusal(opening, times):
    assert refusal(opening * times).problems


def test_the_deepest_value_is_read():
    content = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert json.dumps(read_json(content)).encode() == content


def test_only_the_first_of_many_places_are_named():
    error = refusal(json.dumps({"text": ["\0"] * 1_000}).encode())

    assert len(error.problems) == strict_json.MAX_REPORTED_PLACES and len(str(error)) < 1_000


def test_more_values_than_any_body_needs_are_refused_before_they_are_read():
    assert str(refusal(b"[" + b"[]," * 2_000_000 + b"[]]")) == "This holds more than 600,000 values."


def test_more_members_than_any_body_needs_are_refused_before_they_are_read():
    members = ",".join(f'"{number}":1' for number in range(50_001))

    assert str(refusal(f"{{{members}}}".encode())) == "This holds more than 50,000 members."
    assert len(read_json(f"{{{members.rpartition(',')[0]}}}".encode())) == 50_000


def test_of_a_member_that_is_there_twice_the_last_one_counts():
    assert read_json(b'{"a": 1, "a": 2}') == read_json(rb'{"a": "\u0000", "a": 2}') == {"a": 2}
