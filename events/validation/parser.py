"""A body's items, each on its own: one that is no JSON must not harm its neighbours.

1. orjson reads the whole body at once. Nearly every body is right, and nothing more happens to it.
2. Where it refuses, or may have altered what was sent (it rounds integers beyond 64 bits) or read what Postgres cannot
   hold (NUL), the array is cut into the bytes of its items, without recursion, and each is read alone, by a reader that
   takes everything, so that the reason can name the place.

Of a member that is there twice the last one counts, as in Postgres and in JavaScript.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import orjson

from events.validation.errors import MAX_ERRORS, ValidationReason, reason

MAX_ITEMS = 500  # in one request
MAX_CONTAINERS = 50_000  # objects and arrays that are made at once
MAX_CAREFUL_VALUES = 50_000  # values of an item that are looked at one by one
MAX_MARKS = 50_000  # of a body that is cut; what is behind them is one item
MAX_DEPTH = 1_000  # levels; orjson reads and json recurses about so deep

_SPACE = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_MARK = re.compile(rb'(?:%s|[^"\[\]{},])*+([\[{]++|[\]}]++|,|")' % _STRING, re.DOTALL)  # behind strings
# What is below an item's own level and needs no look at its marks, a piece at a time: matching holds the interpreter.
_INSIDE = re.compile(
    rb'(?:[^"\[\]{}]++|%s|\[(?:[^"\[\]{}]++|%s)*+\]|\{(?:[^"\[\]{}]++|%s)*+\}){1,5000}+' % (_STRING, _STRING, _STRING),
    re.DOTALL,
)
_DIGITS = bytes(0x30 if chr(byte).isdigit() and byte < 128 else 0 for byte in range(256))  # each digit to "0"
_LONG_INTEGER = b"0" * 19  # from here on a number may be beyond 64 bits
_INTEGERS = range(-(2**63), 2**64)

Read = tuple[Any, list[ValidationReason]]  # an item's value, and why it cannot be stored; without reasons it can


class TooManyItems(ValueError):
    """More than MAX_ITEMS in one body."""


class Body:
    """What was sent in one request."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._is_suspect: bool | None = None  # not looked at yet
        self._is_closed = True  # as far as is known before it is cut

    @property
    def is_array(self) -> bool:
        return self.content.lstrip(_SPACE)[:1] == b"["

    def values(self) -> int:
        """Return about how many values there are at most: commas and brackets, also those in texts."""
        return _containers(self.content) + self.content.count(b",")

    def is_suspect(self) -> bool:
        """Return whether orjson may alter it, or read from it what Postgres cannot hold."""
        if self._is_suspect is None:
            self._is_suspect = b"\\u0000" in self.content or _LONG_INTEGER in self.content.translate(_DIGITS)
        return self._is_suspect

    def read(self) -> list[Read]:
        """Return its items in their order. Raises TooManyItems."""
        content = self.content
        if not self.is_suspect() and (len(content) <= MAX_CONTAINERS or _containers(content) <= MAX_CONTAINERS):
            try:
                value = orjson.loads(self.content)
            except orjson.JSONDecodeError:
                pass
            else:
                values = value if isinstance(value, list) else [value]
                if len(values) > MAX_ITEMS:
                    raise TooManyItems
                return [(one, []) for one in values]
        found = [read_one(raw) for raw in self.raws]
        if not self._is_closed and not (found and found[-1][1]):  # else the last item says that it is cut off
            self.raws.append(b"")
            found.append((None, [reason("not_json", [], 'The array is not closed: its "]" is missing.')]))
        return found

    def split(self) -> None:
        """Cut it into the bytes of its items now, not when they are first asked for."""
        _ = self.raws

    @cached_property
    def raws(self) -> list[bytes]:
        """The bytes of each item, exactly as they came."""
        if not self.is_array:
            return [self.content]
        raws, self._is_closed = split(self.content)
        return raws


def _containers(content: bytes) -> int:
    return content.count(b"[") + content.count(b"{")


def split(content: bytes) -> tuple[list[bytes], bool]:
    """Cut an array at the commas of its own level; return its items, and whether its end was found.

    What is after its end, or has none, is an item, too. Raises TooManyItems.
    """
    items: list[bytes] = []
    begin = content.index(b"[") + 1
    level = 1
    for start, end, mark, level in _marks(content, begin):
        if (mark == b"," and level == 1) or level == 0:
            items.append(content[begin:start].strip(_SPACE))
            begin = end
        if len(items) > MAX_ITEMS:
            raise TooManyItems
    if items == [b""] and level == 0:  # []
        items = []
    if rest := content[begin:].strip(_SPACE):
        items.append(rest)
    if len(items) > MAX_ITEMS:
        raise TooManyItems
    return items, level == 0


def _marks(content: bytes, place: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield the marks of an array's structure from behind its bracket: where each is, and the level after it.

    Ends at the array's own end, at a string without an end (nothing behind it can be told apart), and after MAX_MARKS.
    """
    level = 1
    for _ in range(MAX_MARKS):
        if level > 1 and (inside := _INSIDE.match(content, place)):
            place = inside.end()
        found = _MARK.match(content, place)
        if found is None or found[1] == b'"':
            return
        mark, start, place = found[1], found.start(1), found.end()
        if mark[0] in b"[{":
            level += len(mark)
        elif mark[0] in b"]}":
            place = start + min(len(mark), level)  # the array's own end may be among them
            level -= min(len(mark), level)
        yield (start if level else place - 1), place, mark, level
        if not level:
            return


def read_one(raw: bytes) -> Read:
    """Read one item by itself, and say what about it no database can hold."""
    if _containers(raw) > MAX_CONTAINERS:
        return None, [too_deep([]) if _is_deep(raw) else _too_complex()]
    try:
        value = json.loads(raw.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        return None, [reason("encoding", [], f"Byte {error.start} is not UTF-8.")]
    except json.JSONDecodeError as error:
        return None, [reason("not_json", [], f"{error.msg} at character {error.pos}.")]
    except RecursionError:
        return None, [too_deep([])]
    return value, _unstorable(value)


def _is_deep(raw: bytes) -> bool:
    return any(level > MAX_DEPTH for *_, level in _marks(raw, 0))


def _too_complex() -> ValidationReason:
    return reason("too_complex", [], "This holds too many values. Send smaller events.")


def too_deep(path: list[str | int]) -> ValidationReason:
    return reason("depth", path, "This is nested too deeply.")


def _integer(digits: str) -> float:
    if len(digits) > 20:  # Python refuses to read thousands of digits
        return math.inf
    return number if (number := int(digits)) in _INTEGERS else math.inf


def _unstorable(value: Any) -> list[ValidationReason]:
    """Walk through a value without recursion, as deep as it may be."""
    found: list[ValidationReason] = []
    waiting: deque[tuple[Any, tuple[Any, ...]]] = deque([(value, ())])  # a path is (path before, step)
    walked = 0
    while waiting and len(found) < MAX_ERRORS:
        one, path = waiting.popleft()
        walked += 1
        if walked > MAX_CAREFUL_VALUES:
            return [*found, _too_complex()]
        if isinstance(one, str):
            found += _of_text(one, path)
        elif isinstance(one, float) and not math.isfinite(one):
            found.append(reason("number", _steps(path), "This number is beyond 64 bits, or none at all."))
        elif isinstance(one, dict):
            for name, member in one.items():
                found += _of_text(name, (path, name))
                waiting.append((member, (path, name)))
        elif isinstance(one, list):
            waiting.extend((member, (path, place)) for place, member in enumerate(one))
    return found[:MAX_ERRORS]


def _of_text(text: str, path: tuple[Any, ...]) -> list[ValidationReason]:
    if "\0" in text:
        return [reason("nul", _steps(path), "No text may hold the character NUL.")]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [reason("surrogate", _steps(path), "This text holds half of a surrogate pair.")]
    return []


def _steps(path: tuple[Any, ...]) -> list[str | int]:
    steps: list[str | int] = []
    while path:
        path, step = path
        steps.append(step)
    return steps[::-1]
