"""Strict reader for all JSON that clients send to REST or the WebSocket. Postgres can store everything it returns.

It refuses, naming the place: nesting beyond MAX_DEPTH levels, NUL and lone surrogates in texts, numbers that are not
finite or do not fit in 64 bits, and more than MAX_VALUES values or MAX_MEMBERS members. So every returned int has at
most 64 bits and every float is finite. Of a duplicate member the last one is used, as in Postgres and JavaScript.

1. orjson reads the body. For nearly every body that is all.
2. If orjson refuses it, may have altered it (it rounds integers beyond 64 bits) or accepted what Postgres cannot store
   (NUL), Python's reader reads it, and a walk without recursion finds the place.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

MAX_DEPTH = 256  # levels of objects and arrays; orjson writes at most 254 plus one or two envelopes
MAX_VALUES = 600_000  # per body: three times a pasted list of 200,000 UUIDs
MAX_MEMBERS = 50_000  # per body; each has a key and costs twenty times as much as an element
MAX_REPORTED_PLACES = 10  # in one error
MAX_PLACE_LENGTH = 300  # characters

_LONG_INTEGER = re.compile(rb"\d{19}")  # the shortest numbers that may exceed 64 bits
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)  # a whole string, or an opening or closing bracket
_TOO_DEEP = f"This is nested more than {MAX_DEPTH} levels deep."
_INTEGERS = range(-(2**63), 2**64)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
Place = tuple[Any, ...]  # (place of the container, key or index), or () for the top


class NotStrictJson(ValueError):
    """The body is refused: `problems` are (keys and indexes to the place, sentence), at least one."""

    def __init__(self, *problems: tuple[list[str | int], str]) -> None:
        self.problems = list(problems)
        super().__init__(" ".join(f"{_pointer(steps)}: {words}" if steps else words for steps, words in problems))


def read_json(content: bytes) -> Any:
    """Return the value of `content`, JSON in UTF-8. Raises only NotStrictJson."""
    openings = content.count(b"[") + content.count(b"{")
    if openings + content.count(b",") > MAX_VALUES:  # counts characters in texts too: a cheap upper bound
        raise NotStrictJson(([], f"This holds more than {MAX_VALUES:,} values."))
    if content.count(b":") > MAX_MEMBERS:  # counts characters in texts too
        raise NotStrictJson(([], f"This holds more than {MAX_MEMBERS:,} members."))
    if b"\\u0000" in content or _LONG_INTEGER.search(content):
        return _read_with_care(content)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _read_with_care(content)
    if openings > MAX_DEPTH:
        _refuse_depth(value)
    return value


def _read_with_care(content: bytes) -> Any:
    try:
        value = json.loads(content.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise NotStrictJson(([], f"Byte {error.start} is not UTF-8.")) from error
    except json.JSONDecodeError as error:
        raise NotStrictJson(([], f"JSON parse error: {error.msg} at character {error.pos}.")) from error
    except RecursionError as error:
        raise NotStrictJson(([], f"{_TOO_DEEP} Character {_first_too_deep(content)} opens one more.")) from error
    _refuse_depth(value)
    if found := list(_take(MAX_REPORTED_PLACES, _unstorable(value))):
        raise NotStrictJson(*found)
    return value


def _first_too_deep(content: bytes) -> int:
    level = 0
    for token in _TOKEN.finditer(content):
        level += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if level > MAX_DEPTH:
            return len(content[: token.start()].decode())
    return 0


def _integer(digits: str) -> int | float:
    """Return the integer, or the float with exactly these digits, or infinity if neither can represent it.

    Postgres writes 1e20 with all of its digits, and a client sends it back unchanged.
    """
    if len(digits) > 310:  # beyond every float; Python refuses to read thousands of digits
        return math.inf
    number = int(digits)
    if number in _INTEGERS:
        return number
    near = float(digits)
    return near if math.isfinite(near) and Decimal(repr(near)) == number else math.inf


def _refuse_depth(value: Any) -> None:
    """Raise NotStrictJson if containers nest too deeply. Works level by level, without recursion."""
    level: list[tuple[Any, Place]] = [(value, ())] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            (child, (place, step))
            for parent, place in level
            for step, child in _members(parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise NotStrictJson((_steps(level[0][1])[:1], _TOO_DEEP))  # the whole path would not help


def _unstorable(value: Any) -> Iterator[tuple[list[str | int], str]]:
    """Yield the place and problem of each value that the database cannot store, breadth first."""
    waiting: deque[tuple[Any, Place]] = deque([(value, ())])
    while waiting:
        one, place = waiting.popleft()
        if isinstance(one, str) and (found := _UNSTORABLE.search(one)):
            yield _steps(place), _words(found[0])
        elif isinstance(one, float) and not math.isfinite(one):
            yield _steps(place), "This number is beyond 64 bits or not finite."
        elif isinstance(one, dict | list):
            for step, child in _members(one):
                if isinstance(step, str) and (found := _UNSTORABLE.search(step)):
                    yield _steps((place, step)), _words(found[0])
                waiting.append((child, (place, step)))


def _words(character: str) -> str:
    if character == "\0":
        return "Text must not contain the character NUL."
    return "This text contains half of a surrogate pair."


def _members(container: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    yield from container.items() if isinstance(container, dict) else enumerate(container)


def _take(most: int, found: Iterator[Any]) -> Iterator[Any]:
    yield from (one for _, one in zip(range(most), found, strict=False))


def _steps(place: Place) -> list[str | int]:
    """Return the path from the top. Characters that cannot be encoded become U+FFFD."""
    steps: list[str | int] = []
    while place:
        place, step = place
        steps.append(_UNSTORABLE.sub("\ufffd", step) if isinstance(step, str) else step)
    return steps[::-1]


def _pointer(steps: list[str | int]) -> str:
    """Return an RFC 6901 pointer, cut to MAX_PLACE_LENGTH."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)[:MAX_PLACE_LENGTH]


def by_field(error: NotStrictJson) -> dict[str, list[str]]:
    """Return the problems by the top-level member that they are in, or by "" for the whole body."""
    fields: dict[str, list[str]] = {}
    for steps, words in error.problems:
        field = steps[0][:MAX_PLACE_LENGTH] if steps and isinstance(steps[0], str) else ""
        rest = steps[1:] if field else steps
        place = f"{_pointer(rest)}: " if rest else ""
        fields.setdefault(field, []).append(place + words)
    return fields
