"""Restores the numbers of stored JSON to the form in which they were sent. Postgres writes 1e20 as an integer with all
its digits.

Python reads that as an integer beyond 64 bits, which orjson refuses. No sender can have sent such an integer, because
the ingest rejects it.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

INTEGERS = range(-(2**63), 2**64)
MAX_DIGITS = 310  # the largest float has 309 digits
_LONG = re.compile(r"\d{19}")  # a number with at least 19 digits may be beyond 64 bits


def read_stored(text: str) -> Any:
    """Return the value of a JSON text from the database, with each number as it was sent."""
    return json.loads(text, parse_int=as_sent) if _LONG.search(text) else json.loads(text)


def as_sent(digits: str) -> int | float:
    """Return the integer, or the float that Postgres writes with these digits; infinity if it is beyond every float."""
    if len(digits) > MAX_DIGITS:
        return math.inf
    number = int(digits)
    if number in INTEGERS:
        return number
    near = float(digits)
    return near if math.isfinite(near) and Decimal(repr(near)) == number else number


def restored(value: Any) -> Any:
    """Return a JSON value with its numbers as they were sent."""
    text = json.dumps(value)
    return json.loads(text, parse_int=as_sent) if _LONG.search(text) else value
