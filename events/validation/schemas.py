"""Validation of payloads by the JSON Schema (2020-12) of their event type. Each version is compiled once.

The author of a schema is trusted with events, but not with this machine. Nothing is fetched for a `$ref`. Patterns have
no look-around or back-references, and their size is limited. The cost of a schema is limited, too
(events/validation/schema_cost.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import jsonschema_rs

from events.validation import budget
from events.validation.budget import Budget, PayloadSize
from events.validation.errors import ANY, MAX_ERRORS, ValidationReason, pointer, reason
from events.validation.schema_cost import Cost, cost_of
from events.validation.schema_error import SchemaError

PATTERNS = jsonschema_rs.RegexOptions(size_limit=2_000_000, dfa_size_limit=250_000)  # bytes
# Replaces values in validation errors, because a value may be private or have up to 500 KiB.
MASK = "this value"
_FOLLOWED_BY_A_NAME = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_OPEN_LISTS = ("prefixItems", "items", "additionalItems", "unevaluatedItems", "contains")
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties", *_OPEN_LISTS)
VAGUE = "This does not match the schema of its type. It is too large to list the reasons."


class Checker(Protocol):
    """A validator for the payloads of one event type."""

    def validate(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        """Return the validation errors of the payload, whose JSON text is `data`: at most MAX_ERRORS.

        Raises BudgetSpent if the work exceeds `allowance`.
        """
        ...


class Schema:
    """A compiled schema with its cost."""

    def __init__(self, validator: jsonschema_rs.Validator, cost: Cost) -> None:
        self.validator, self.cost = validator, cost
        self._is_valid, self._at_most = validator.is_valid, budget.work_of_a_byte(cost)

    def validate(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        at_most = len(data) * self._at_most
        if at_most <= budget.LIGHT:  # nearly every event: a closer estimate is not worth its own cost
            allowance.spend(int(at_most) // budget.TYPICAL_DIVISOR)
            if self._is_valid(payload):
                return []
        return self._validate(payload, data, allowance)

    def _validate(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        size = budget.estimate(data, self.cost)
        work = size.work(self.cost)
        if work > budget.MAX_INLINE_WORK or budget.is_too_deep(size, self.cost):
            exact = budget.measure(payload, len(data), budget.MAX_WORK // self.cost.evaluations)
            if exact is None or exact.work(self.cost) > budget.MAX_WORK or budget.is_too_deep(exact, self.cost):
                return [_too_complex(exact)]
            size, work = exact, exact.work(self.cost)
        allowance.spend(work)
        return [] if self.validator.is_valid(payload) else self._reasons(payload, size, allowance)

    def _reasons(self, payload: Any, size: PayloadSize, allowance: Budget) -> list[ValidationReason]:
        if allowance.affords_reasons(size.work_of_reasons(self.cost)):
            return list(islice(_each(self.validator.iter_errors(payload)), MAX_ERRORS))
        if self.cost.branches:  # the first error would contain all errors of its alternatives
            return [reason("schema", ["data"], VAGUE)]
        try:
            self.validator.validate(payload)
        except jsonschema_rs.ValidationError as error:
            return list(islice(_each([error]), MAX_ERRORS))
        return []


def compiled(schema: Any) -> Schema:
    """Return the compiled schema with its cost. Raises SchemaError if the schema is invalid or costs too much."""
    cost = cost_of(schema)
    return Schema(validator_of(schema, mask=MASK), cost)


def validator_of(schema: Any, **options: Any) -> jsonschema_rs.Validator:
    """Return the compiled schema, which never fetches other documents. Raises SchemaError."""
    try:
        return jsonschema_rs.validator_for(
            schema, offline=True, validate_formats=True, pattern_options=PATTERNS, **options
        )
    except jsonschema_rs.ValidationError as error:
        raise SchemaError(error.message, pointer(error.instance_path)) from error
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(str(error).partition("\n")[0]) from error


def _too_complex(size: PayloadSize | None) -> ValidationReason:
    number = f"{size.values:,}" if size else "very many"
    words = f"Checking this ({number} values) by the schema of its type takes too much work. Send smaller events."
    return reason("too_complex", ["data"], words)


def _each(errors: Any) -> Iterator[ValidationReason]:
    for error in errors:
        path = ["data", *error.instance_path]
        place = ["data", *_place(error.instance_path, error.evaluation_path)]
        code = error.kind.name
        detail = error.kind.as_dict()
        if code == "required":
            missing = detail["property"]
            yield reason(code, [*path, missing], error.message, [*place, missing])
        elif code in ("additionalProperties", "unevaluatedProperties"):
            for name in detail["unexpected"]:
                yield reason(code, [*path, name], "This member is not expected here.", [*place, ANY])
        else:
            yield reason(code, path, error.message, place)


def _place(instance_path: Iterable[str | int], evaluation_path: Iterable[str | int]) -> Iterator[str | int]:
    """Yield the steps of an instance's path, with ANY for each step that the schema does not name.

    The keywords on the path to the failed keyword determine that. `properties` names a step. `items`,
    `patternProperties` and similar keywords make a step without naming it. `allOf`, `$ref` and similar keywords make no
    step.
    """
    steps, keywords = iter(instance_path), iter(evaluation_path)
    for keyword in keywords:
        if keyword in _FOLLOWED_BY_A_NAME:
            next(keywords, None)
        if keyword == "properties":
            yield from islice(steps, 1)
        elif keyword in _OPEN:
            yield from (ANY for _ in islice(steps, 1))
    yield from (ANY for _ in steps)
