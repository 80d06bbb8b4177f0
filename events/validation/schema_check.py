"""Checks of a schema before it is published: its shape, its cost, and whether it compiles.

A schema is written by a user and applied to every event of its type, so it has limits: its size, its depth (validators
use recursion) and its cost. Its regular expressions must run in linear time, and its references must stay within it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from events.validation.errors import pointer, storable
from events.validation.json_numbers import INTEGERS, restored
from events.validation.schema_cost import cost_of
from events.validation.schema_error import SchemaError
from events.validation.schemas import MASK, Schema, validator_of

MAX_SCHEMA_BYTES = 64 * 1024
MAX_DEPTH = 64  # levels of objects and arrays


def check(schema: Any) -> Schema:
    """Return the compiled schema if it may be published. Raises SchemaError.

    Time and memory depend on the schema and are not limited here: events/validation/schema_child.py limits them.
    """
    shape = check_shape(schema)
    cost = cost_of(shape)
    validator_of(shape)  # its errors quote the faulty part of the schema; the one below masks values
    return Schema(validator_of(shape, mask=MASK), cost)


def check_shape(schema: Any) -> dict[str, Any]:
    """Return a schema with its numbers as they were sent.

    Raises SchemaError if it is not an object, is too deep or too large, or cannot be stored.
    """
    if not isinstance(schema, dict):
        raise SchemaError("A schema is a JSON object.")
    if _is_deeper(schema, MAX_DEPTH):
        raise SchemaError(f"The schema is nested more than {MAX_DEPTH} levels deep.")
    try:
        found: dict[str, Any] = restored(schema)
        size = len(json.dumps(found, separators=(",", ":")))
    except (TypeError, ValueError) as error:
        raise SchemaError("The schema holds a value that JSON cannot express, or a number that is too long.") from error
    for words, place in unstorable(found):
        raise SchemaError(words, place)
    if size > MAX_SCHEMA_BYTES:
        raise SchemaError(f"The schema has {size:,} bytes; {MAX_SCHEMA_BYTES:,} are allowed.")
    return found


def unstorable(value: Any) -> Iterator[tuple[str, str]]:
    """Yield what in a JSON value, of any depth, Postgres cannot store, as (message, JSON pointer)."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while left:
        path, one = left.pop()
        if isinstance(one, float) and not math.isfinite(one):
            yield "This number is too large.", pointer(path)
        elif isinstance(one, int) and one not in INTEGERS:
            yield "This integer is beyond 64 bits.", pointer(path)
        elif isinstance(one, str) and storable(one) != one:
            yield f"This text has {'a NUL character' if chr(0) in one else 'half a character'}.", pointer(path)
        elif isinstance(one, dict):
            left += [(path, name) for name in one]
            left += [((*path, name), child) for name, child in one.items() if storable(name) == name]
        elif isinstance(one, list):
            left += [((*path, place), child) for place, child in enumerate(one)]


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays are nested deeper than this. Works level by level, so no depth is a problem for it."""
    level = [value]
    for _ in range(levels + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [child for child in values if isinstance(child, (dict, list))]
