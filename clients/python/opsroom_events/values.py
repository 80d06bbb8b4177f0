"""Conversion of Python values to JSON by the table in README.md, so that no event is lost because it has a Decimal."""

from __future__ import annotations

import base64
import collections.abc
import contextlib
import dataclasses
import enum
import math
import os
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

MAX_DEPTH = 200  # levels; the server's limit is 254
MAX_VALUES = 100_000  # per event: a larger one would not fit into a request, and would take long to encode
MAX_TEXT = 1_000  # characters of an object of an unknown class
INTEGERS = range(-(2**63), 2**64)  # what the server can store

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates
_BASIC = (bool, int, float, str, datetime, date, time, timedelta, type(None))


class Unsendable(ValueError):
    """The value is nested too deeply, contains itself, or has too many parts."""


def jsonable(value: Any) -> Any:
    """Return the value as dicts, lists, strings, numbers, booleans and None.

    Raises Unsendable, and whatever the value's methods raise.
    """
    return _Converter().convert(value, 0)


def text_of(value: Any) -> str:
    """Return the value as a string, for a session id, a category or a name."""
    found = jsonable(value)
    return found if isinstance(found, str) else str(found)


class _Converter:
    def __init__(self) -> None:
        self._values = 0

    def convert(self, value: Any, level: int) -> Any:
        self._values += 1
        if level > MAX_DEPTH or self._values > MAX_VALUES:
            raise Unsendable("contains itself, is nested too deeply, or has too many parts")
        if isinstance(value, enum.Enum):
            return self.convert(value.value, level + 1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _UNSTORABLE.sub("\ufffd", str.__str__(value))
        if isinstance(value, int):
            return _integer(int.__index__(value))
        if isinstance(value, float):
            return _number(float.__float__(value))
        if isinstance(value, collections.abc.Mapping):
            return {self._name(name, level): self.convert(value[name], level + 1) for name in value}
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.convert(_of_bytes(bytes(value)), level)
        if isinstance(value, (collections.abc.Sequence, collections.abc.Set, collections.deque)):
            return [self.convert(one, level + 1) for one in value]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                field.name: self.convert(getattr(value, field.name), level + 1) for field in dataclasses.fields(value)
            }
        return self._other(value, level)

    def _other(self, value: Any, level: int) -> Any:
        if isinstance(value, Decimal):
            return _decimal(value)
        if isinstance(value, (datetime, date, time)):
            return _moment(value)
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, os.PathLike):
            return self.convert(os.fspath(value), level + 1)
        if not isinstance(value, (UUID, type)):
            for method in ("tolist", "item"):  # arrays and numbers of numpy and similar libraries
                found = _call(value, method)
                if isinstance(found, (list, *_BASIC)) and found is not None:
                    return self.convert(found, level + 1)
        return self.convert(_words(value), level)

    def _name(self, name: Any, level: int) -> str:
        """Return the name of a member.

        A name that is not a string is written as the json module does: true, null, 1.
        """
        found = self.convert(name, level + 1)
        if found is None or isinstance(found, bool):
            return {None: "null", True: "true", False: "false"}[found]
        return found if isinstance(found, str) else _UNSTORABLE.sub("\ufffd", str(found))


def _integer(value: int) -> int | str:
    if value in INTEGERS:
        return value
    return str(value) if value.bit_length() < 10_000 else hex(value)  # Python's limit for decimal digits


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decimal(value: Decimal) -> float | str | None:
    """Return a float if it is exactly that number, otherwise its digits as a string."""
    if not value.is_finite():
        return None
    near = float(value)
    return near if math.isfinite(near) and Decimal(repr(near)) == value else str(value)


def _moment(value: date | time) -> str:
    """Return ISO 8601. A datetime without a time zone is in the machine's local time, as usual in Python."""
    if isinstance(value, datetime) and value.tzinfo is None:
        with contextlib.suppress(OverflowError, OSError, ValueError):  # the years 1 and 9999
            value = value.astimezone()
    return value.isoformat()


def _of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _call(value: Any, method: str) -> Any:
    try:
        return getattr(value, method)()
    except Exception:  # no such method, or another meaning
        return None


def _words(value: Any) -> str:
    try:
        return str(value)[:MAX_TEXT]
    except Exception:
        return f"<{type(value).__name__}>"
