"""Parser of a request's body. It reads each item separately if necessary, so that an item that is not JSON does not
affect the others.

1. orjson parses the whole body at once. For nearly every body this succeeds, and nothing more is done.
2. The slow path is used if orjson refuses the body, may alter it (it rounds integers beyond 64 bits), or would accept
   what Postgres cannot store (NUL). It splits the array into the bytes of its items, without recursion, and parses each
   item with a more permissive parser, so that the validation error can name the place.

If a member occurs twice, the last one counts, as in Postgres and in JavaScript.
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
from events.validation.json_numbers import INTEGERS

MAX_ITEMS = 500  # in one request
MAX_CONTAINERS = 50_000  # objects and arrays that are created by one call of a parser
MAX_CAREFUL_VALUES = 50_000  # values of an item that are checked one by one
MAX_MARKS = 50_000  # marks at which a body is split; the rest behind them is one item
MAX_DEPTH = 1_000  # levels; about the limit of orjson and of the recursion of json

_SPACE = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_MARK = re.compile(rb'(?:%s|[^"\[\]{},])*+([\[{]++|[\]}]++|,|")' % _STRING, re.DOTALL)  # outside of strings
# Nested content of an item, whose marks need not be looked at. Matched in pieces, because a match holds the
# interpreter's lock.
_INSIDE = re.compile(
    rb'(?:[^"\[\]{}]++|%s|\[(?:[^"\[\]{}]++|%s)*+\]|\{(?:[^"\[\]{}]++|%s)*+\}){1,5000}+' % (_STRING, _STRING, _STRING),
    re.DOTALL,
)
_DIGITS = bytes(0x30 if chr(byte).isdigit() and byte < 128 else 0 for byte in range(256))  # each digit to "0"
_LONG_INTEGER = b"0" * 19  # a number with at least 19 digits may be beyond 64 bits

ParsedItem = tuple[Any, list[ValidationReason]]  # an item's value, and its errors; without errors it can be stored


class TooManyItems(ValueError):
    """More than MAX_ITEMS in one body."""


class Body:
    """The body of a request, after decompression."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._is_suspect: bool | None = None  # None: not checked yet
        self._is_closed = True  # whether the array has an end; known after the split

    @property
    def is_array(self) -> bool:
        return self.content.lstrip(_SPACE)[:1] == b"["

    def values(self) -> int:
        """Return an approximate upper bound of the number of values: commas and brackets, including those in texts."""
        return _containers(self.content) + self.content.count(b",")

    def is_suspect(self) -> bool:
        """Return whether orjson may alter the body, or accept in it what Postgres cannot store."""
        if self._is_suspect is None:
            self._is_suspect = b"\\u0000" in self.content or _LONG_INTEGER in self.content.translate(_DIGITS)
        return self._is_suspect

    def read(self) -> list[ParsedItem]:
        """Return the parsed items in their order. Raises TooManyItems."""
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
        found = [parse_item(raw) for raw in self.raws]
        if not self._is_closed and not (found and found[-1][1]):  # otherwise the last item has that error
            self.raws.append(b"")
            found.append((None, [reason("not_json", [], 'The array is not closed: its "]" is missing.')]))
        return found

    def split(self) -> None:
        """Split the body into the bytes of its items now, instead of at the first access to `raws`."""
        _ = self.raws

    @cached_property
    def raws(self) -> list[bytes]:
        """The bytes of each item, exactly as received."""
        if not self.is_array:
            return [self.content]
        raws, self._is_closed = split(self.content)
        return raws


def _containers(content: bytes) -> int:
    return content.count(b"[") + content.count(b"{")


def split(content: bytes) -> tuple[list[bytes], bool]:
    """Split an array at the commas of its top level. Return its items, and whether its end was found.

    Text after the end of the array, or after its last comma if the end is missing, is an item, too. Raises
    TooManyItems.
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
    """Yield the marks (commas and brackets) of an array, from `place` on, which is behind its opening bracket.

    Each is (start, end, mark, level after it). The iteration ends at the end of the array, at an unterminated string
    (the structure behind it is unknown), or after MAX_MARKS.
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
            place = start + min(len(mark), level)  # the end of the array may be among these brackets
            level -= min(len(mark), level)
        yield (start if level else place - 1), place, mark, level
        if not level:
            return


def parse_item(raw: bytes) -> ParsedItem:
    """Parse one item by itself. Return its value and its errors: syntax, and what Postgres cannot store."""
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
    if len(digits) > 20:  # int() raises ValueError for thousands of digits
        return math.inf
    return number if (number := int(digits)) in INTEGERS else math.inf


def _unstorable(value: Any) -> list[ValidationReason]:
    """Return what in a value cannot be stored. Works without recursion, so the depth of the value does not matter."""
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
            found.append(reason("number", _steps(path), "This number is beyond 64 bits or not finite."))
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
