"""Bodies that would hold the interpreter for long are checked in another process, with the same result."""

import json
import os
import signal
from datetime import UTC, datetime

import pytest

from events.factories import EventTypeFactory
from events.ingest import check_process
from events.ingest.asgi_app import MAX_HEAVY_PER_APPLICATION
from events.ingest.check_process import CheckProcess, TooHeavy, read_in_thread
from events.ingest.registry import RegistrySnapshot
from events.models import Event, RejectedEvent
from events.tests.sending import committed
from events.tests.test_envelope import BROKEN, FAULTY, RIGHT
from events.validation.budget import Budget, BudgetSpent
from events.validation.event import read
from events.validation.parser import MAX_ITEMS, TooManyItems
from events.validation.rules import ApplicationSettings, Rules
from events.validation.schemas import compiled

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SCHEMA = {"properties": {"tags": {"items": {"type": "string"}}}}
TYPE = (RIGHT["category"], RIGHT["name"])
KNOWN = RegistrySnapshot("1", {}, {TYPE: compiled(SCHEMA)}, {TYPE: json.dumps(SCHEMA)}, {})
RULES = Rules.for_application(ApplicationSettings(7), KNOWN.types, now=NOW)


@pytest.fixture
def other():
    process = CheckProcess()
    yield process
    process.close()


def packed(*items) -> bytes:
    return json.dumps(items, separators=(",", ":")).encode()


def tagged(count: int, value: object = "x") -> dict:
    return RIGHT | {"data": {"tags": [value] * count}}


def described(items):
    """Everything but the ids that are made up."""
    texts = [(item.session_id, item.category, item.name, item.data, item.timestamp) for item in items]
    return [(*text, item.reasons, item.raw, item.kept) for text, item in zip(texts, items, strict=True)]


@pytest.mark.parametrize(
    "content",
    [
        packed(tagged(3), tagged(2, 0), RIGHT),
        packed(RIGHT, 5, RIGHT),
        json.dumps(RIGHT).encode(),
        b"garbage",
        b"[]",
        "[\"é\", {\"session_id\": \"\U0001f600\"}]".encode(),
        *[b"[" + json.dumps(RIGHT).encode() + b" , " + hostile + b" ]" for hostile in [*FAULTY, *BROKEN]],
    ],
)  # fmt: skip
def test_the_other_process_finds_the_same(other, content):
    here, there = read(content, RULES), other.read(content, RULES, KNOWN)

    assert described(there) == described(here)
    assert [item.application for item in there] == [7] * len(here)


def test_what_is_heavy_is_not_read_here():
    for content in (
        packed(tagged(30_000)),
        b"[" * 30_000,
        packed(*[tagged(300, 12345678901234567890)] * 10),
        packed(*[tagged(1_900, 0)] * 10),
    ):
        with pytest.raises(TooHeavy):
            read_in_thread(content, RULES)

    assert len(read_in_thread(packed(*[RIGHT] * 500), RULES)) == 500


def test_an_item_that_one_call_judges_for_long_is_for_the_other_process():
    numbers = {TYPE: compiled({"properties": {"tags": {"items": {"enum": list(range(450))}}}})}
    rules = RULES._replace(types=numbers)

    with pytest.raises(TooHeavy):
        read_in_thread(packed(tagged(1, 1e-300)), rules)

    assert len(read_in_thread(packed(*[tagged(1, 7)] * 100), rules)) == 100


def test_it_is_told_of_new_schemas(other):
    stricter = {"required": ["tags"]}
    newer = RegistrySnapshot("2", {}, {TYPE: compiled(stricter)}, {TYPE: json.dumps(stricter)}, {})

    first = other.read(packed(RIGHT), RULES, KNOWN)
    second = other.read(packed(RIGHT), RULES, newer)

    assert [item.reasons for item in first] == [[]]
    assert [reason["code"] for reason in second[0].reasons] == ["required"]


def test_what_is_too_much_is_told(other, monkeypatch):
    with pytest.raises(TooManyItems):
        other.read(packed(*[1] * (MAX_ITEMS + 1)), RULES, KNOWN)

    dear = {"additionalProperties": {"items": {"allOf": [{}] * 400}}}
    known = RegistrySnapshot("3", {}, {TYPE: compiled(dear)}, {TYPE: json.dumps(dear)}, {})
    with pytest.raises(BudgetSpent):
        other.read(packed(*[tagged(200)] * 40), RULES, known)


def test_a_process_that_was_killed_is_started_again(other):
    other.read(packed(RIGHT), RULES, KNOWN)
    first = other._process.pid
    os.kill(first, signal.SIGKILL)
    other._process.wait()

    assert len(other.read(packed(RIGHT), RULES, KNOWN)) == 1
    assert other._process.pid != first


def test_a_process_that_does_not_answer_is_ended_and_its_request_is_refused(other, monkeypatch):
    other.read(packed(RIGHT), RULES, KNOWN)
    monkeypatch.setattr(check_process, "TIMEOUT", 0.2)
    os.kill(other._process.pid, signal.SIGSTOP)

    with pytest.raises(BudgetSpent):
        other.read(packed(RIGHT), RULES, KNOWN)
    monkeypatch.setattr(check_process, "TIMEOUT", 20)
    assert len(other.read(packed(RIGHT), RULES, KNOWN)) == 1


def test_a_thread_hands_on_what_takes_more_work_than_one_item():
    budget = Budget.of_thread()

    with pytest.raises(BudgetSpent):
        for _ in range(3):
            budget.spend(40_000)


@committed
def test_an_application_waits_with_few_heavy_bodies_at_the_same_time(sender, pageview):
    heavy = packed(pageview | {"event_id": None, "data": {"tags": ["x"] * 25_000}})

    answers = sender.post_together(*[heavy] * 5, packed(pageview))

    statuses = [answer.status for answer in answers]
    assert statuses.count(202) == MAX_HEAVY_PER_APPLICATION + 1 and statuses.count(429) == 5 - MAX_HEAVY_PER_APPLICATION
    assert statuses[-1] == 202
    assert not sender.app._heavy


@committed
def test_a_heavy_request_is_stored_like_any_other(sender, pageview):
    EventTypeFactory(category="page interaction", name="pageview", schema=SCHEMA)
    right = pageview | {"event_id": None, "data": {"tags": ["x"] * 25_000}}
    wrong = pageview | {"event_id": None, "data": {"tags": ["x"] * 10 + [0]}}

    answer = sender.post(packed(right, wrong, pageview))

    assert sender.app._check_process._process is not None
    assert [result["status"] for result in answer.json["results"]] == ["accepted", "rejected", "accepted"]
    assert answer.json["results"][1]["errors"][0]["pointer"] == "/data/tags/10"
    assert json.loads(bytes(RejectedEvent.objects.get().raw)) == wrong
    assert Event.objects.count() == 2
