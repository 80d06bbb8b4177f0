"""May this be published as a schema? Asked before it is stored, without asking anybody else.

A schema comes from a person and is run on every event, so it is bounded: in size, in depth (a validator recurses), to
regular expressions that take linear time, and to references within itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson

from events.reasons import pointer, storable
from events.schemas import PATTERNS
from events.schemas import compiled as judging

MOST_BYTES = 64 * 1024
DEEPEST = 64  # levels of objects and arrays


class SchemaError(ValueError):
    """Why this is no schema: `message` in words, `pointer` to the place in the schema, as in RFC 6901."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(f"{message} (at {pointer})" if pointer else message)
        self.message = message
        self.pointer = pointer


def compiled(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return the validator of a JSON Schema (2020-12 unless it names another draft).

    Raises SchemaError for what is none, is too large or too deep, refers to somewhere else, or has a regular
    expression that looks around or backtracks.
    """
    _check_shape(schema)
    try:
        # This checks it against its draft, too. `meta.validate` would fetch what "$schema" names.
        jsonschema_rs.validator_for(schema, offline=True, validate_formats=True, pattern_options=PATTERNS)
        return judging(schema)  # the same, but for words that repeat nothing of an event
    except jsonschema_rs.ValidationError as error:
        raise SchemaError(error.message, pointer(error.instance_path)) from error
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(str(error).splitlines()[0]) from error


def check_schema(schema: Any) -> None:
    """Raise SchemaError unless this may be published."""
    compiled(schema)


def _check_shape(schema: Any) -> None:
    if not isinstance(schema, dict):
        raise SchemaError("A schema is a JSON object.")
    if _is_deeper(schema, DEEPEST):
        raise SchemaError(f"The schema is nested more than {DEEPEST} levels deep.")
    for words, place in unstorable(schema):
        raise SchemaError(words, place)
    try:
        text = orjson.dumps(schema)
    except orjson.JSONEncodeError as error:
        raise SchemaError("The schema holds what JSON cannot say.") from error
    if len(text) > MOST_BYTES:
        raise SchemaError(f"The schema has {len(text):,} bytes; {MOST_BYTES:,} are allowed.")


def unstorable(value: Any) -> Iterator[tuple[str, str]]:
    """Yield what of a JSON value no database can hold: in words, and where, as a JSON pointer; however deep it is."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while left:
        path, one = left.pop()
        if isinstance(one, float) and not math.isfinite(one):
            yield "This number is too large.", pointer(path)
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
