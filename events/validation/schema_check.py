"""The checks of a schema before it is published: its shape, its cost, and whether it compiles.

A schema comes from a person and is run on every event, so it is bounded: in size, in depth (a validator recurses), in
its cost, to regular expressions that take linear time, and to references within itself.
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
    """Return what judges payloads by a schema that may be published. Raises SchemaError.

    It takes the time and memory that the schema wants: events/validation/schema_child.py bounds them.
    """
    shape = check_shape(schema)
    cost = cost_of(shape)
    validator_of(shape)  # its errors repeat what is wrong in the schema; those of the other one never repeat a value
    return Schema(validator_of(shape, mask=MASK), cost)


def check_shape(schema: Any) -> dict[str, Any]:
    """Return a schema with its numbers as they were sent.

    Raises SchemaError for what is not an object, is too deep or too large, or cannot be stored.
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
    """Yield what of a JSON value no database can hold: in words, and where, as a JSON pointer; however deep it is."""
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
    """Whether containers nest deeper than this; level by level, so that no depth is too much for the check itself."""
    level = [value]
    for _ in range(levels + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [child for child in values if isinstance(child, (dict, list))]
