"""May this be published as a schema? Asked before it is stored, without asking anybody else.

A schema comes from a person and is run on every event, so it is bounded: in size, in depth (a validator recurses), to
regular expressions that take linear time, and to references within itself.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson

from events.reasons import pointer
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
    try:
        text = orjson.dumps(schema)
    except orjson.JSONEncodeError as error:
        raise SchemaError("The schema holds what JSON cannot say.") from error
    if len(text) > MOST_BYTES:
        raise SchemaError(f"The schema has {len(text):,} bytes; {MOST_BYTES:,} are allowed.")
    if b"\\u0000" in text and _has_nul(schema):
        raise SchemaError("The schema holds a NUL character, which the database cannot.")


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether containers nest deeper than this; level by level, so that no depth is too much for the check itself."""
    level = [value]
    for _ in range(levels + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _has_nul(value: Any) -> bool:
    """Bounded by the check of the depth."""
    if isinstance(value, str):
        return "\0" in value
    keys = value if isinstance(value, dict) else ()
    return any("\0" in key for key in keys) or any(_has_nul(child) for child in _children(value, str))


def _children(value: Any, *more: type) -> list[Any]:
    kinds = (dict, list, *more)
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in values if isinstance(child, kinds)]
