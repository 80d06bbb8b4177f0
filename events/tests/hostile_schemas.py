"""Schemas that a person with bad intentions, or bad luck, could try to publish: each is refused, or cheap."""

from __future__ import annotations

from typing import Any, NamedTuple

LEVELS = 27
LARGE = 500  # of what is listed


class Hostile(NamedTuple):
    """A schema, whether it may be published, and a payload that is as bad for it as a payload can be."""

    schema: Any
    may_be_published: bool
    payload: dict[str, Any] = {}


def chained(link: Any, levels: int = LEVELS, **last: Any) -> dict[str, Any]:
    """Return definitions of which each is made from a reference to the one before; the first is `last`."""
    definitions: dict[str, Any] = {"d0": last or {"type": "object"}}
    for level in range(1, levels + 1):
        definitions[f"d{level}"] = link({"$ref": f"#/$defs/d{level - 1}"})
    return {"$defs": definitions, "$ref": f"#/$defs/d{levels}"}


def nested(link: Any, levels: int, schema: Any) -> Any:
    for _ in range(levels):
        schema = link(schema)
    return schema


def inside(schema: Any) -> dict[str, Any]:
    """A schema for the elements of any member."""
    return {"additionalProperties": {"items": schema}}


DEEP: dict[str, Any] = nested(lambda payload: {"a": payload}, 60, {})
MANY = {"a": [0] * 5_000}
NAMES = {f"n{number}": number for number in range(2_000)}
TEXT = {"a": "ab" * 20_000}
FLOATS = {"a": [1e-300, 1e300, 1.5] * 300}

SCHEMAS: dict[str, Hostile] = {
    # References that double with each level
    "allOf of two references": Hostile(chained(lambda ref: {"allOf": [ref, ref]}), False),
    "anyOf of two references": Hostile(chained(lambda ref: {"anyOf": [ref, ref]}), False),
    "anyOf over false": Hostile(chained(lambda ref: {"anyOf": [ref, ref]}, **{"not": {}}), False),
    "oneOf of two references": Hostile(chained(lambda ref: {"oneOf": [ref, ref]}), False),
    "if, then and else": Hostile(chained(lambda ref: {"if": ref, "then": ref, "else": ref}), False),
    "not of two references": Hostile(chained(lambda ref: {"not": {"allOf": [ref, ref]}}), False),
    "dependentSchemas": Hostile(
        chained(lambda ref: {"dependentSchemas": {"a": ref, "b": ref}}), False, {"a": 1, "b": 1}
    ),
    "dependencies of draft 7": Hostile(
        {"$schema": "http://json-schema.org/draft-07/schema#"}
        | chained(lambda ref: {"dependencies": {"a": ref, "b": ref}}),
        False,
    ),
    "unevaluatedProperties on each level": Hostile(
        chained(lambda ref: {"allOf": [ref], "unevaluatedProperties": False}), False
    ),
    "unevaluatedItems on each level": Hostile(chained(lambda ref: {"allOf": [ref], "unevaluatedItems": False}), False),
    "$ref beside allOf": Hostile(chained(lambda ref: ref | {"allOf": [ref]}), False),
    "$dynamicRef": Hostile(
        {
            "$defs": {"d0": {"$dynamicAnchor": "a0"}}
            | {
                f"d{n}": {"$dynamicAnchor": f"a{n}", "allOf": [{"$dynamicRef": f"#a{n - 1}"}] * 2}
                for n in range(1, LEVELS)
            },
            "$dynamicRef": f"#a{LEVELS - 1}",
        },
        False,
    ),
    "$anchor": Hostile(
        {
            "$defs": {"d0": {"$anchor": "a0"}}
            | {f"d{n}": {"$anchor": f"a{n}", "anyOf": [{"$ref": f"#a{n - 1}"}] * 2} for n in range(1, LEVELS)},
            "$ref": f"#a{LEVELS - 1}",
        },
        False,
    ),
    "references that double for members": Hostile(
        chained(lambda ref: {"properties": {"a": ref}, "patternProperties": {"a": ref}}), False, DEEP
    ),
    "references that double for elements": Hostile(chained(lambda ref: {"items": ref, "contains": ref}), False),
    "recursion that doubles with the depth of the value": Hostile(
        {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}, False, DEEP
    ),
    "recursion under alternatives": Hostile(
        {"anyOf": [{"type": "string"}, {"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]},
        False,
        DEEP,
    ),
    "recursion of names": Hostile({"propertyNames": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}, False, DEEP),
    # Circles that never reach the inside of a value
    "a reference to itself": Hostile({"$ref": "#"}, False),
    "a circle of two": Hostile(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, False
    ),
    "a circle under not": Hostile({"not": {"$ref": "#"}}, False),
    "a circle under if": Hostile({"if": {"$ref": "#"}}, False),
    "a circle of $dynamicRef": Hostile({"$dynamicAnchor": "a", "oneOf": [{"$dynamicRef": "#a"}]}, False),
    # References that lead away
    "an address on the network": Hostile({"$ref": "http://127.0.0.1:1/schema"}, False),
    "a file": Hostile({"$ref": "file:///etc/passwd"}, False),
    "the meta-schema": Hostile({"$ref": "https://json-schema.org/draft/2020-12/schema"}, False),
    "an $id inside": Hostile({"properties": {"a": {"$id": "https://example.com/a", "$ref": "#"}}}, False),
    # Many alternatives, values or names for one value
    "1,000 alternatives": Hostile(inside({"anyOf": [{"type": "string"}] * 1_000}), False, MANY),
    "a level of 22 alternatives in a level of 22": Hostile(
        inside({"oneOf": [{"anyOf": [{"type": "string"}] * 22}] * 22}), False, MANY
    ),
    "400 alternatives": Hostile(inside({"anyOf": [{"type": "string"}] * 400}), True, MANY),
    "an enumeration of objects": Hostile(inside({"enum": [{"a": number} for number in range(LARGE)]}), False, MANY),
    "an enumeration of numbers with points": Hostile(inside({"enum": [n + 0.5 for n in range(LARGE)]}), False, FLOATS),
    "an enumeration of integers": Hostile(inside({"enum": list(range(LARGE))}), True, FLOATS),
    "an enumeration of texts": Hostile(inside({"enum": [str(number) for number in range(5_000)]}), True, MANY),
    "a large constant": Hostile(inside({"const": list(range(LARGE))}), False, {"a": [list(range(LARGE))] * 9}),
    "5,000 required names": Hostile(inside({"required": [f"n{number}" for number in range(5_000)]}), False, MANY),
    "1,000 properties": Hostile(
        {"properties": {name: {"type": "string"} for name in list(NAMES)[:1_000]}}, True, NAMES
    ),
    "800 expressions for names": Hostile({"patternProperties": {f"{n}.*z": {} for n in range(800)}}, False, NAMES),
    "expressions for names": Hostile({"patternProperties": {f"{n}.*z": {} for n in range(40)}}, True, NAMES),
    "propertyNames": Hostile({"propertyNames": {"maxLength": 0}}, True, NAMES),
    "unevaluatedProperties over alternatives": Hostile(
        {"anyOf": [{"properties": {name: {}}} for name in list(NAMES)[:100]], "unevaluatedProperties": False},
        True,
        NAMES,
    ),
    "contains in contains": Hostile(nested(lambda schema: {"contains": schema}, 6, {"const": 1}), False, MANY),
    "a comparison of all elements": Hostile(
        inside({"uniqueItems": True}), True, {"a": [[1.5 * n for n in range(15)]] * 300}
    ),
    "a comparison of all elements at each level": Hostile(
        {"uniqueItems": True, "items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}, False, MANY
    ),
    # Regular expressions
    "an expression that backtracks": Hostile({"pattern": "^(?=a)(a+)+$"}, False, TEXT),
    "an expression with back-references": Hostile({"pattern": r"(a*)\1\1b"}, False, TEXT),
    "an expression of a million positions": Hostile({"pattern": "((a{1,100}){1,100}){1,100}"}, False, TEXT),
    "an expression with a thousand active positions": Hostile(
        {"additionalProperties": {"pattern": "[ab]*a[ab]{1000}c"}}, False, TEXT
    ),
    "an expression with a hundred active positions": Hostile(
        {"additionalProperties": {"pattern": "[ab]*a[ab]{100}c"}}, True, TEXT
    ),
    "an expression of large classes": Hostile({"pattern": r"\p{L}{400}\p{N}{400}"}, False, TEXT),
    # Formats
    "a slow format": Hostile(inside({"format": "idn-email"}), True, {"a": ["é@é.é"] * 5_000}),
    "a format for expressions": Hostile({"additionalProperties": {"format": "regex"}}, True, {"a": "(" * 40_000}),
    # Numbers
    "a number beyond 64 bits": Hostile({"maximum": 2**64}, False),
    "a large number": Hostile(inside({"maximum": 1e20}), True, FLOATS),
    "a number of 400 digits": Hostile({"maximum": 10**400}, False),
    "an infinite number": Hostile({"maximum": float("inf")}, False),
    "a tiny divisor": Hostile(inside({"multipleOf": 1e-300}), True, FLOATS),
    # Shapes
    "very deep": Hostile(nested(lambda schema: {"not": schema}, 3_000, {}), False),
    "deep": Hostile(nested(lambda schema: {"not": schema}, 60, {}), True),
    "very large": Hostile({"description": "x" * 70_000}, False),
    "very many parts": Hostile({"allOf": [{}] * 20_000}, False),
    "not an object": Hostile([], False),
    "an unknown draft": Hostile({"$schema": "http://127.0.0.1:1/draft"}, False),
    "an unknown type": Hostile({"type": "objekt"}, False),
}
