"""Estimates the work of validating a payload by a schema, and limits it per item and per request.

The unit of work is one evaluation of a simple subschema (about 50 ns). The work is estimated before anything is
evaluated: number of values × cost of the schema, plus a part for long texts and for numbers that are compared as exact
fractions. A validator holds the interpreter's lock while it runs, so MAX_WORK also limits how long one item can block
the event loop.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from events.validation.schema_cost import MAX_DEPTH, Cost

MAX_WORK = 100_000  # for validating one item
MAX_ERRORS = 200_000  # for listing the validation errors of one item
ITEMS = 20  # a request may take as much work as this number of items with the maximum work each
# Up to this work an item is validated without a closer estimate. The work is computed from the number of bytes, for the
# worst case: each byte counts as a character, half a value and half a number.
LIGHT = 1_000
TYPICAL_DIVISOR = 4  # the typical work is this many times less than that worst case
MAX_INLINE_WORK = 5_000  # work that the event loop does itself
MAX_INLINE_REASONS = 20_000  # the same for listing validation errors
MAX_THREAD_WORK = 20_000  # for one item in a thread: validating it is one call, during which the event loop is blocked
MAX_THREAD_REASONS = 40_000  # the same for listing validation errors
REASON = 80  # making one validation error takes as long as this number of evaluations
WORDS = 8  # copying this number of bytes of the schema into an error takes as long as one evaluation
POSITIONS = 4  # one character at this number of regex positions takes as long as one evaluation, mostly much less
NUMBER = 20  # comparing two fractions takes as long as this number of evaluations
EXTREME = 10  # comparing fractions takes this many times as long if an exponent has two or three digits
LOW, HIGH = 1e-30, 1e30  # numbers between these have no extreme exponent

_SEPARATORS = b",:[{"
_FRACTIONS = re.compile(rb"\d[.eE]")
_EXTREMES = re.compile(rb"[eE][+-]?\d\d")


class BudgetSpent(Exception):
    """The items take more work than is allowed for one request, or in the current place (event loop or thread)."""


class Budget:
    """The remaining work for a request: `work` for validating and `reasons` for listing validation errors.

    None means unlimited, as for validating a stored event. `one` limits the same two amounts for a single item, in
    places that leave larger items to a thread or to the child process.
    """

    def __init__(
        self, work: int | None = None, reasons: int | None = None, *, one: tuple[int, int] | None = None
    ) -> None:
        self._work, self._reasons, self._one = work, reasons, one

    @classmethod
    def of_request(cls) -> Budget:
        return cls(ITEMS * MAX_WORK, ITEMS * MAX_ERRORS)

    @classmethod
    def of_event_loop(cls) -> Budget:
        """Return the budget of the event loop. When it is exceeded, a thread validates the request."""
        return cls(MAX_INLINE_WORK, MAX_INLINE_REASONS, one=(MAX_INLINE_WORK, MAX_INLINE_REASONS))

    @classmethod
    def of_thread(cls) -> Budget:
        """Return the budget of a thread. When it is exceeded, the child process validates the request."""
        return cls(MAX_WORK, MAX_ERRORS, one=(MAX_THREAD_WORK, MAX_THREAD_REASONS))

    def spend(self, work: int) -> None:
        """Subtract the work of one item. Raises BudgetSpent if a limit is exceeded."""
        if self._one is not None and work > self._one[0]:
            raise BudgetSpent
        if self._work is not None:
            self._work -= work
            if self._work < 0:
                raise BudgetSpent

    def affords_reasons(self, work: int) -> bool:
        """Return whether this work may be spent on listing validation errors. If so, subtract it.

        Raises BudgetSpent if the work belongs in a thread or in the child process.
        """
        is_enough = self._reasons is None or work <= self._reasons
        if self._one is not None and (work > self._one[1] or not is_enough):
            raise BudgetSpent
        if work > MAX_ERRORS or not is_enough:
            return False
        if self._reasons is not None:
            self._reasons -= work
        return True


UNLIMITED = Budget()


@dataclass(frozen=True, slots=True)
class PayloadSize:
    """The size of a payload.

    `values` counts the values at all depths, `characters` the bytes of its JSON text, and `fractions` the floats.
    A float with an extreme exponent counts as EXTREME fractions. `depth` is the number of levels.
    """

    values: int
    characters: int
    fractions: int
    depth: int

    def work(self, cost: Cost) -> int:
        """Return the work of deciding whether the payload is valid."""
        spent = self.values * cost.evaluations + self.characters * cost.positions // POSITIONS
        return spent + self.fractions * cost.numbers * NUMBER

    def work_of_reasons(self, cost: Cost) -> int:
        """Return the work of listing all validation errors: each copies the invalid value and parts of the schema."""
        copies = self.values if cost.names else self.depth
        copied = cost.reasons * copies * (self.values + self.characters // 20)
        return self.values * (cost.reasons * REASON + cost.words // WORDS) + copied


def work_of_a_byte(cost: Cost) -> float:
    """Return the maximum work per byte of a JSON text. It is infinite if the depth of the payload must be checked."""
    if cost.endless:
        return math.inf
    return (cost.evaluations + cost.numbers * NUMBER * EXTREME) / 2 + cost.positions / POSITIONS


def estimate(data: bytes, cost: Cost) -> PayloadSize:
    """Return an upper bound for the size of a payload, computed from the bytes of its JSON text without parsing."""
    separators = len(data) - len(data.translate(None, _SEPARATORS))
    fractions = 0
    if cost.numbers:
        fractions = len(_FRACTIONS.findall(data)) * (EXTREME if _EXTREMES.search(data) else 1)
    return PayloadSize(separators + 1, len(data), fractions, data.count(b"[") + data.count(b"{") + 1)


def measure(payload: Any, characters: int, most_values: int) -> PayloadSize | None:
    """Return the exact size of a parsed payload whose JSON text has `characters` bytes.

    Return None if it has more than `most_values` values.
    """
    values = fractions = depth = 0
    level: list[Any] = [payload]
    while level:
        depth += 1
        values += len(level)
        if values > most_values:
            return None
        fractions += sum(_weight(one) for one in level if type(one) is float)
        level = [child for one in level if isinstance(one, (dict, list)) for child in _children(one)]
    return PayloadSize(values, characters, fractions, depth)


def is_too_deep(size: PayloadSize, cost: Cost) -> bool:
    """Whether the payload is deeper than the levels for which the cost was computed."""
    return cost.endless and size.depth > MAX_DEPTH


def _children(one: Any) -> Any:
    return one.values() if isinstance(one, dict) else one


def _weight(number: float) -> int:
    return 1 if not number or LOW < abs(number) < HIGH else EXTREME
