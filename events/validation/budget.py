"""How much work a payload is for a schema, and how much of it is done for one item and for one request.

The work is counted in evaluations of a simple subschema (about 50 ns), before anything is evaluated: values × cost of
the schema, and a share for long texts and for numbers that are compared as exact fractions. A validator holds the
interpreter's lock meanwhile, so MAX_WORK also bounds how long the event loop waits for one item.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from events.validation.schema_cost import MAX_DEPTH, Cost

MAX_WORK = 100_000  # for one item
MAX_ERRORS = 200_000  # for the list of its reasons
ITEMS = 20  # a request may take as much work as this many of the dearest items
LIGHT = 1_000  # work below which an item is judged at once; a byte is taken for half a value, a digit and a bracket
USUALLY = 4  # times less work than that
HERE = 5_000  # work that the event loop does itself
REASONS_HERE = 20_000
ONE_IN_THREAD = 20_000  # for one item: judging it is one call, for which the event loop waits
REASONS_IN_THREAD = 40_000
REASON = 80  # evaluations take as long as making one reason
WORDS = 8  # bytes of the schema that are copied into an error as long
POSITIONS = 4  # of regular expressions that take as long for one character as one evaluation, mostly much shorter
NUMBER = 20  # evaluations take as long as comparing two fractions
EXTREME = 10  # times as long, where an exponent has two or three digits
LOW, HIGH = 1e-30, 1e30  # between them an exponent is not extreme

_SEPARATORS = b",:[{"
_FRACTIONS = re.compile(rb"\d[.eE]")
_EXTREMES = re.compile(rb"[eE][+-]?\d\d")


class BudgetSpent(Exception):
    """The items of a request take more work than is done for one request, or where this one is judged."""


class Budget:
    """The work that may still be done for a request. Without a limit, as for one stored event: any number of items.

    `one` bounds the work for a single item, and the work to list its reasons, where more of it is done elsewhere.
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
        """What is more is not left out, but done in a thread."""
        return cls(HERE, REASONS_HERE, one=(HERE, REASONS_HERE))

    @classmethod
    def of_thread(cls) -> Budget:
        """What is more is done in another process."""
        return cls(MAX_WORK, MAX_ERRORS, one=(ONE_IN_THREAD, REASONS_IN_THREAD))

    def spend(self, work: int) -> None:
        """Raises BudgetSpent."""
        if self._one is not None and work > self._one[0]:
            raise BudgetSpent
        if self._work is not None:
            self._work -= work
            if self._work < 0:
                raise BudgetSpent

    def affords_reasons(self, work: int) -> bool:
        """Return whether so much may be done to list reasons, and count it then. Raises BudgetSpent."""
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
class Size:
    """What a payload holds: `values` at any depth, `characters`, `fractions` (numbers with a point), `depth`."""

    values: int
    characters: int
    fractions: int
    depth: int

    def work(self, cost: Cost) -> int:
        """Return what it takes to find out whether the payload is right."""
        spent = self.values * cost.evaluations + self.characters * cost.positions // POSITIONS
        return spent + self.fractions * cost.numbers * NUMBER

    def work_of_reasons(self, cost: Cost) -> int:
        """Return what it takes to list all reasons: each copies the value that is wrong, and parts of the schema."""
        copies = self.values if cost.names else self.depth
        copied = cost.reasons * copies * (self.values + self.characters // 20)
        return self.values * (cost.reasons * REASON + cost.words // WORDS) + copied


def work_of_a_byte(cost: Cost) -> float:
    """Return the most work that one byte of a JSON text can be: infinity, where its depth has to be looked at."""
    if cost.endless:
        return math.inf
    return (cost.evaluations + cost.numbers * NUMBER * EXTREME) / 2 + cost.positions / POSITIONS


def estimate(data: bytes, cost: Cost) -> Size:
    """Return a size that is at least that of this JSON text, from its bytes alone."""
    separators = len(data) - len(data.translate(None, _SEPARATORS))
    fractions = 0
    if cost.numbers:
        fractions = len(_FRACTIONS.findall(data)) * (EXTREME if _EXTREMES.search(data) else 1)
    return Size(separators + 1, len(data), fractions, data.count(b"[") + data.count(b"{") + 1)


def measure(payload: Any, characters: int, most_values: int) -> Size | None:
    """Return the exact size of a payload that was read from so many bytes; None where it has more values than that."""
    values = fractions = depth = 0
    level: list[Any] = [payload]
    while level:
        depth += 1
        values += len(level)
        if values > most_values:
            return None
        fractions += sum(_weight(one) for one in level if type(one) is float)
        level = [child for one in level if isinstance(one, (dict, list)) for child in _children(one)]
    return Size(values, characters, fractions, depth)


def is_too_deep(size: Size, cost: Cost) -> bool:
    """Whether the payload goes deeper than the cost was computed for."""
    return cost.endless and size.depth > MAX_DEPTH


def _children(one: Any) -> Any:
    return one.values() if isinstance(one, dict) else one


def _weight(number: float) -> int:
    return 1 if not number or LOW < abs(number) < HIGH else EXTREME
