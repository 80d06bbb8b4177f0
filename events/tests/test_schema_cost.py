"""The cost of a schema is computed before anything is compiled or evaluated."""

from typing import Any

import pytest

from events.validation.schema_cost import MAX_COST, cost_of
from events.validation.schema_error import SchemaError
from events.validation.schema_regex import TooComplex, active_positions


def doubled(levels: int, keyword: str) -> dict[str, Any]:
    """Each definition applies the one before it twice."""
    definitions: dict[str, Any] = {"d0": {"type": "object"}}
    for level in range(1, levels + 1):
        before = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {keyword: [before, before]}
    return {"$defs": definitions, "$ref": f"#/$defs/d{levels}"}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_each_level_doubles_the_cost_until_it_is_too_high(keyword):
    assert cost_of(doubled(5, keyword)).evaluations > 2**5

    with pytest.raises(SchemaError, match=f"more than {MAX_COST} evaluations"):
        cost_of(doubled(27, keyword))


@pytest.mark.parametrize(
    "twice",
    [
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]},
        {"if": {"$ref": "#/$defs/a"}, "then": {"$ref": "#/$defs/a"}},
        {"not": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}},
        {"dependentSchemas": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$dynamicRef": "#here"},
        {"$ref": "#/$defs/a", "unevaluatedProperties": False},
    ],
)
def test_a_part_that_is_applied_twice_costs_twice(twice):
    once = cost_of({"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "here", "allOf": [{}] * 50}}}).evaluations

    cost = cost_of(twice | {"$defs": {"a": {"$anchor": "here", "allOf": [{}] * 50}}}).evaluations

    assert cost >= 2 * (once - 1)


def test_a_member_has_one_name_so_the_dearest_of_the_properties_counts():
    assert cost_of({"properties": {f"p{number}": {"type": "string"} for number in range(1_000)}}).evaluations == 1
    assert cost_of({"patternProperties": {f"p{number}": {} for number in range(100)}}).evaluations == 100


def test_the_cost_of_what_is_inside_a_value_does_not_add_to_the_cost_of_the_value():
    inner = {"allOf": [{"type": "string"}] * 100}

    assert cost_of({"properties": {"a": inner}, "allOf": [{}] * 100}).evaluations == 101


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"not": {"$ref": "#"}}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"if": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$dynamicAnchor": "x", "oneOf": [{"$dynamicRef": "#x"}]},
    ],
)
def test_a_circle_that_stays_at_the_same_value_is_refused(schema):
    with pytest.raises(SchemaError, match="refers to itself"):
        cost_of(schema)


def test_a_tree_is_allowed_and_a_tree_that_doubles_at_each_level_is_not():
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    assert cost_of(tree).evaluations == 2
    assert cost_of(tree).endless

    with pytest.raises(SchemaError, match="evaluations"):
        cost_of({"properties": {"left": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "https://example.com/schema"}, "Retrieval is disabled"),
        ({"$ref": "other.json"}, "Retrieval is disabled"),
        ({"$ref": "#nowhere"}, "does not exist"),
        ({"$ref": "#/items/0"}, "does not exist"),
        ({"properties": {"a": {"$id": "https://example.com/a", "type": "string"}}}, r"\$id"),
        ({"properties": {"a": {"enum": [{"a": number} for number in range(200)]}}}, "evaluations"),
        ({"enum": [1.5] * 501}, "evaluations"),
        ({"patternProperties": {f"[ab]*a[ab]{{{size}}}c": {} for size in range(20, 40)}}, "regular expressions"),
        ({"items": {"pattern": "((a{1,100}){1,100}){1,100}"}}, r"regex has too many positions.*/items/pattern"),
        ({"allOf": [{}] * 6_000}, "more than 5,000 parts"),
        ({"allOf": [{}], "$ref": f"#/allOf/{'1' * 5_000}"}, "does not exist in this schema"),
    ],
)
def test_what_costs_too_much_or_leads_away_is_refused_with_the_cause(schema, words):
    with pytest.raises(SchemaError, match=words):
        cost_of(schema)


@pytest.mark.parametrize(
    "reference", ["#/$defs/a~1b", "#/$defs/a%2Fb".replace("%2F", "~1"), "#spot", "https://example.com/s#spot"]
)
def test_references_within_the_schema_are_followed_in_every_spelling(reference):
    schema = {
        "$id": "https://example.com/s",
        "$defs": {"a/b": {"$anchor": "spot", "allOf": [{}] * 10}},
        "properties": {"x": {"$ref": reference}},
    }

    assert cost_of(schema).evaluations == 12


@pytest.mark.parametrize(
    ("pattern", "active"),
    [
        ("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", 1),
        ("^.{0,2000}$", 1),
        (r"^\p{L}+$", 1),
        (r"^(?<year>\d{4})-\d\d$", 1),
        ("[ab]*a[ab]{22}c", 25),
        ("[0-9a-f]{12}", 12),
    ],
)
def test_positions_of_a_regular_expression_that_are_active_at_once(pattern, active):
    assert active_positions(pattern) == active


@pytest.mark.parametrize("pattern", [r"^(\w{1,30}\s?){1,30}$", "((x{1,100}){1,100}){1,10}", "a{6000}"])
def test_an_expression_with_too_many_positions_is_refused(pattern):
    with pytest.raises(TooComplex):
        active_positions(pattern)
