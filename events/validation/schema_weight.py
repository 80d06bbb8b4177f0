"""The cost of one subschema's own keywords. The unit is one evaluation of a simple subschema such as
`{"type": "string"}` (about 50 ns).

The weights were measured with jsonschema-rs 0.60. It compares numbers as exact fractions unless both are integers. It
compares an enumeration value by value unless all its values are texts or all are integers.
"""

from __future__ import annotations

import json
from typing import Any

from events.validation.json_numbers import INTEGERS
from events.validation.schema_regex import TooComplex, active_positions

PRESENT = 8  # this number of names in `required` and similar keywords costs as much as one evaluation
FRACTION = 30  # evaluations that comparing a number with one that is not a 64-bit integer costs
MIXED = 5  # evaluations that comparing a value with one of a mixed enumeration costs, per value inside it
SLOW_FORMATS = {"idn-email": 30, "idn-hostname": 30}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_NUMBERS = (*BOUNDS, "const", "enum", "format")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains")
_MEMBERS = ("minProperties", "maxProperties", "additionalProperties", "unevaluatedProperties", "additionalItems")
_OTHERS = ("type", "pattern", "not", "contains", "oneOf", "anyOf", "uniqueItems", "unevaluatedItems")
ASSERTIONS = frozenset((*_NUMBERS, *_LENGTHS, *_MEMBERS, *_OTHERS))
CONTENT = 8  # reading a character as JSON or Base64 takes as long as this number of regex positions
REPEATED = ("const", "enum", "pattern")  # an error of one of these keywords contains a copy of its value


def own_weight(schema: dict[str, Any]) -> int:
    """Return the cost of this subschema's own keywords, in evaluations, without the subschemas inside it."""
    weight = 1 + SLOW_FORMATS.get(_text(schema.get("format")), 0) + own_reasons(schema) // PRESENT
    weight += sum(FRACTION for keyword in BOUNDS if _is_fraction(schema.get(keyword)))
    if "const" in schema and not _is_looked_up([schema["const"]]):
        weight += _weight_of_value(schema["const"])
    if isinstance(values := schema.get("enum"), list) and not _is_looked_up(values):
        weight += sum(map(_weight_of_value, values))
    return weight


def own_positions(schema: dict[str, Any], *, asserts_content: bool) -> int:
    """Return the number of positions of regular expressions and formats that one character is compared with.

    `asserts_content`: whether texts are decoded for `contentMediaType` and `contentEncoding`, as in drafts 6 and 7.
    Raises TooComplex, whose arguments are the path to the regular expression.
    """
    patterns: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(pattern := schema.get("pattern"), str):
        patterns.append((pattern, ("pattern",)))
    if isinstance(members := schema.get("patternProperties"), dict):
        patterns += [(pattern, ("patternProperties", pattern)) for pattern in members]
    found = 0
    for pattern, path in patterns:
        try:
            found += active_positions(pattern)
        except TooComplex:
            raise TooComplex(*path) from None
    contents = ("contentMediaType" in schema) + ("contentEncoding" in schema) if asserts_content else 0
    return found + ("format" in schema) + CONTENT * contents


def own_numbers(schema: dict[str, Any]) -> int:
    """Return how many numbers a number that is not a 64-bit integer is compared with as exact fractions."""
    values = schema["enum"] if isinstance(schema.get("enum"), list) else []
    found = sum(_numbers_in(value) for value in [*values, schema.get("const")])
    return found + ("multipleOf" in schema) + any(_is_fraction(schema.get(keyword)) for keyword in BOUNDS)


def own_reasons(schema: dict[str, Any]) -> int:
    """Return the maximum number of errors of this subschema's own keywords for one value."""
    lists = [schema.get("required"), *_values(schema.get("dependentRequired")), *_values(schema.get("dependencies"))]
    return max(1, len(ASSERTIONS & schema.keys())) + sum(len(names) for names in lists if isinstance(names, list))


def own_words(schema: dict[str, Any]) -> int:
    """Return about how many bytes of this subschema are copied into one error."""
    return sum(len(json.dumps(schema[keyword])) for keyword in REPEATED if keyword in schema)


def _weight_of_value(value: Any) -> int:
    return sum(FRACTION if _is_fraction(one) else MIXED for one in _inside(value))


def _numbers_in(value: Any) -> int:
    return sum(type(one) in (int, float) for one in _inside(value))


def _inside(value: Any) -> list[Any]:
    """Return the value and all values inside it, without recursion."""
    found, left = [], [value]
    while left:
        one = left.pop()
        found.append(one)
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
    return found


def _is_looked_up(values: list[Any]) -> bool:
    """Whether the validator looks a text or an integer up in these values instead of comparing it with each."""
    return all(isinstance(one, str) for one in values) or all(type(one) is int and one in INTEGERS for one in values)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and value not in INTEGERS)


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
