"""Conversion of Python values in an event."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from unittest.mock import MagicMock
from uuid import UUID

import pytest

from opsroom_events import Stats
from opsroom_events.values import MAX_TEXT, jsonable

ID = UUID("7c1d8a52-3f0e-4d7b-9a53-0c7a4b9f2e11")


class Colour(enum.Enum):
    RED = "red"
    PRICE = Decimal("1.5")


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Order:
    number: int
    price: Decimal


Point = namedtuple("Point", "x y")


class Scalar:
    """Like numpy.float64 and numpy.int64, which need not be Python numbers."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


class Array:
    def tolist(self) -> list[float]:
        return [1.0, math.nan]


class Money:
    def __str__(self) -> str:
        return "5 EUR"


class Evil:
    def __str__(self) -> str:
        raise RuntimeError("evil")


class NotText:
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class Chatty:
    def __str__(self) -> str:
        return "x" * 10_000_000


class Surprising(int):
    def __int__(self) -> int:
        raise RuntimeError("evil")

    def __str__(self) -> str:
        raise RuntimeError("evil")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal("19.90"), 19.9),
        (Decimal("0.1000000000000000000000001"), "0.1000000000000000000000001"),
        (Decimal("NaN"), None),
        (Decimal("1e999999"), "1E+999999"),
        (ID, str(ID)),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T03:00:00+02:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4, 5), "03:04:05"),
        (timedelta(minutes=1.5), 90.0),
        (Colour.RED, "red"),
        (Colour.PRICE, 1.5),
        (Level.HIGH, 3),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (PurePosixPath("/tmp/a"), "/tmp/a"),
        (b"bytes", "bytes"),
        (bytearray(b"\xff\x00"), "/wA="),
        (memoryview(b"m"), "m"),
        (Order(7, Decimal("1.5")), {"number": 7, "price": 1.5}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": {1}}), {"a": [1]}),
        ({2: "int", None: "none", True: "yes", ID: "id", Colour.RED: "red", (1, 2): "pair", 1.5: "float"},
         {"2": "int", "true": "yes", "null": "none", str(ID): "id", "red": "red", "[1, 2]": "pair", "1.5": "float"}),
        (math.nan, None),
        (math.inf, None),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, hex(10**5000)),
        (Scalar(2.5), 2.5),
        (Scalar(math.nan), None),
        (Array(), [1.0, None]),
        (Money(), "5 EUR"),
        (Evil(), "<Evil>"),
        (NotText(), "<NotText>"),
        (Chatty(), "x" * MAX_TEXT),
        (Surprising(5), 5),
        ("half \ud83d", "half \ufffd"),
        ("nul \x00", "nul \ufffd"),
        ({"\ud800": "\x00"}, {"\ufffd": "\ufffd"}),
        (Exception("lost"), "lost"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_is_sent_as_the_readme_says(client, ingest, value, sent):
    assert client.track("s", "c", "n", {"before": 1, "x": value, "after": 2}) is not None
    assert client.track("s", "c", "n", {"fine": True}) is not None

    assert client.flush(10)
    assert client.stats == Stats(tracked=2, accepted=2)
    data = {event["event_id"]: event["data"] for batch in ingest.batches for event in batch}
    assert list(data.values()) == [{"before": 1, "x": sent, "after": 2}, {"fine": True}]


def test_a_datetime_without_a_zone_gets_the_zone_of_the_machine():
    sent = datetime.fromisoformat(jsonable(datetime(2026, 1, 2, 3)))

    assert sent == datetime(2026, 1, 2, 3).astimezone()
    assert sent.tzinfo is not None
    assert jsonable(datetime.min).startswith("0001-01-01T00:00:00")


def test_what_answers_to_every_name_is_sent_as_a_text():
    found = jsonable(MagicMock(spec=["anything"]))

    assert isinstance(found, str)


class Sabotaged(dict):
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("evil")


def grown() -> list:
    """Return a list of few objects and very many values."""
    rows: list = [0] * 1_000
    for _ in range(10):
        rows = [rows] * 1_000
    return rows


@pytest.mark.parametrize("data", [Sabotaged(a=1), grown(), [1] * 200_000], ids=["iterator", "many values", "long"])
def test_what_cannot_be_read_is_dropped_alone_and_counted(client, ingest, data):
    assert client.track("s", "c", "n", data) is None
    assert client.track("s", "c", "n", {"fine": True}) is not None

    assert client.flush(10)
    assert client.stats == Stats(tracked=2, accepted=1, invalid=1)


@pytest.mark.parametrize(("given", "sent"), [(ID, str(ID)), (Colour.RED, "red"), (7, "7"), (b"s", "s"), (None, "None")])
def test_session_category_and_name_are_texts(client, ingest, given, sent):
    client.track(given, given, given)

    assert client.flush(10)
    [[event]] = ingest.batches
    assert [event[member] for member in ("session_id", "category", "name")] == [sent] * 3
    json.dumps(event, allow_nan=False)
