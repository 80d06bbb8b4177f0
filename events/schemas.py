"""Payloads against their type's JSON Schema (2020-12), compiled once a version.

Whoever edits a schema is trusted with events, not with this machine: nothing is fetched for a `$ref`, and patterns
have no look-around or back-references, so that each takes time in proportion to the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

from events.reasons import MOST, Reason, reason

PATTERNS = jsonschema_rs.RegexOptions()
# An event may hold what is nobody's business, or 500 KiB: reasons never repeat it.
MASK = "this value"


def compiled(schema: Any) -> jsonschema_rs.Validator:
    """Return what judges payloads. Raises ValueError, with a sentence, if this is no JSON Schema that we take."""
    try:
        return jsonschema_rs.validator_for(
            schema, offline=True, mask=MASK, validate_formats=True, pattern_options=PATTERNS
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"{error.message} (at {'/'.join(map(str, error.instance_path)) or 'the top'})") from error
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def judge(validator: jsonschema_rs.Validator, data: Any) -> list[Reason]:
    """Return why the payload is wrong, at most MOST reasons, with pointers into the event; nothing if it is right."""
    if validator.is_valid(data):
        return []
    return list(islice(_reasons(validator, data), MOST))


def _reasons(validator: jsonschema_rs.Validator, data: Any) -> Iterator[Reason]:
    for error in validator.iter_errors(data):
        path = ["data", *error.instance_path]
        code = error.kind.name
        detail = error.kind.as_dict()
        if code == "required":
            yield reason(code, [*path, detail["property"]], error.message)
        elif code in ("additionalProperties", "unevaluatedProperties"):
            for name in detail["unexpected"]:
                yield reason(code, [*path, name], "This member is not expected here.")
        else:
            yield reason(code, path, error.message)
