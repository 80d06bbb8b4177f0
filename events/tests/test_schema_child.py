"""Schemas nobody has published yet are compiled and tried in a child process with limits of the kernel."""

import json
import os
import threading
import time

import pytest

from core.busy import Busy
from events.admin.event_type_pages.schema_text import changed_lines, differences
from events.validation import schema_child
from events.validation.budget import UNLIMITED
from events.validation.schema_child import check_schema, untrusted
from events.validation.schema_error import SchemaError

pytestmark = pytest.mark.thorough

PRICED = {"properties": {"price": {"type": "number", "maximum": 1e20}}}


def test_payloads_are_judged_in_another_process():
    with untrusted(PRICED) as checker:
        process = checker._process
        assert process.pid != os.getpid() and process.poll() is None
        assert checker.validate({}, b'{"price": 3}', UNLIMITED) == []
        found = checker.validate_all([b'{"price": "free"}', b'{"price": 1e21}', b'{"price": 100000000000000000000}'])

    assert [[reason["code"] for reason in reasons] for reasons in found] == [["type"], ["maximum"], []]
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("schema", "words", "place"),
    [
        ({"type": "objekt"}, '"objekt"', "/type"),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "regex", "/properties/a/pattern"),
        ({"$ref": "#"}, "refers to itself", ""),
        ("text", "JSON object", ""),
        ({"maximum": 2**64}, "64 bits", "/maximum"),
    ],
)
def test_what_the_child_refuses_is_refused_with_the_place(schema, words, place):
    with pytest.raises(SchemaError, match=words) as refused, untrusted(schema):
        pass

    assert refused.value.pointer == place


def test_a_child_that_takes_too_much_memory_ends_and_nothing_else_does(monkeypatch):
    monkeypatch.setattr(schema_child, "check_shape", lambda schema: schema)
    values = ",".join(["[]"] * 20_000_000)

    with pytest.raises(SchemaError, match="seconds or 1 GiB"), untrusted(PRICED) as checker:
        checker.ask([f"[{values}]"])


def test_a_child_that_takes_too_long_is_killed():
    with pytest.raises(SchemaError, match="seconds or 1 GiB"), untrusted(PRICED, seconds=0.01) as checker:
        time.sleep(0.1)
        checker.validate_all([b"{}"])


def test_a_child_that_computes_too_long_is_ended_by_the_kernel(monkeypatch):
    monkeypatch.setattr(schema_child, "WORK", "events.tests.endless_child")

    with pytest.raises(SchemaError, match="seconds or 1 GiB"), untrusted(PRICED):
        pass


def test_only_some_schemas_are_checked_at_a_time(monkeypatch):
    monkeypatch.setattr(schema_child, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(schema_child, "_places", threading.BoundedSemaphore(1))

    with untrusted(PRICED), pytest.raises(Busy, match="Try again"):
        check_schema({"title": "another"})

    check_schema({"title": "another"})


def test_a_schema_that_has_passed_is_not_checked_twice(monkeypatch):
    schema = {"title": json.dumps(time.time())}
    check_schema(schema)
    monkeypatch.setattr(schema_child, "untrusted", lambda schema: pytest.fail("It was checked already."))

    check_schema(schema)


def test_changed_lines_are_counted_without_comparing_each_with_each():
    before, after = {"enum": ["a", "b", "c"]}, {"enum": ["a", "x", "c", "d"]}

    assert (
        changed_lines(before, after) == sum(line.kind in ("more", "less") for line in differences(before, after)) == 5
    )
    assert changed_lines(before, before) == 0
