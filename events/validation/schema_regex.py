"""The cost of a regular expression: how many of its positions can be active at the same time for one character.

The engine runs in linear time, but the time per character is proportional to the number of active positions, and
counted repetitions multiply them: `[ab]*a[ab]{800}c` takes 10 µs per character, a thousand times as long as most
expressions. This module computes an upper bound that ignores which characters match: the number of positions that are
reachable after the same number of characters. For an expression that can match anywhere in the text, all positions can
be active.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

from re import _constants as sre  # type: ignore[attr-defined]  # isort: skip
from re import _parser as parser  # type: ignore[attr-defined]  # isort: skip

MAX_POSITIONS = 5_000  # of one expression, with counted repetitions expanded
MAX_STEPS = 200_000  # steps of the computation itself
_PROPERTY = re.compile(r"\\[pP](?:\{[^{}]*\}|[A-Za-z])")  # Unicode classes, which Python's parser does not know
_POINT = re.compile(r"\\[ux]\{[0-9A-Fa-f]+\}")
_NAME = re.compile(r"\(\?<(?=[^=!])")


class TooComplex(ValueError):
    """The expression has too many positions, or takes too many steps to analyse."""


class _Part(NamedTuple):
    """A part of an expression: its possible first and last positions (bit sets), and whether it matches empty text."""

    first: int
    last: int
    empty: bool


@lru_cache(maxsize=4_000)
def active_positions(pattern: str) -> int:
    """Return the maximum number of positions that are active at the same time, at least 1. Raises TooComplex.

    An expression that Python's parser does not understand counts as if every character of it were an active position.
    """
    text = _NAME.sub("(?P<", _POINT.sub("x", _PROPERTY.sub(r"\\w", pattern)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parser.parse(text)
    except (re.error, OverflowError, RecursionError):
        return max(1, len(pattern))
    return _Positions().most_active(tree)


class _Positions:
    """The numbered positions of one expression. `follow` holds a bit set of following positions for each."""

    def __init__(self) -> None:
        self.follow: list[int] = []

    def most_active(self, tree: Any) -> int:
        whole = self._sequence(tree)
        active, most, steps = whole.first, 1, 0
        anywhere = 0 if _is_anchored(tree) else whole.first
        seen: set[int] = set()
        while active and active not in seen:
            seen.add(active)
            most = max(most, active.bit_count())
            steps += active.bit_count()
            if steps > MAX_STEPS:
                raise TooComplex
            following = anywhere
            for position in _bits(active):
                following |= self.follow[position]
            active = following
        return most

    def _sequence(self, tree: Any) -> _Part:
        whole = _Part(0, 0, True)
        for token in tree:
            whole = self._joined(whole, self._part(*token))
        return whole

    def _joined(self, one: _Part, other: _Part) -> _Part:
        for position in _bits(one.last):
            self.follow[position] |= other.first
        first = one.first | other.first if one.empty else one.first
        last = one.last | other.last if other.empty else other.last
        return _Part(first, last, one.empty and other.empty)

    def _part(self, kind: Any, value: Any) -> _Part:
        if kind is sre.AT:
            return _Part(0, 0, True)
        if kind is sre.SUBPATTERN:
            return self._sequence(value[-1])
        if kind is sre.BRANCH:
            return _either([self._sequence(branch) for branch in value[1]])
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            return self._repeated(*value)
        return self._position()

    def _position(self) -> _Part:
        if len(self.follow) >= MAX_POSITIONS:
            raise TooComplex
        self.follow.append(0)
        bit = 1 << (len(self.follow) - 1)
        return _Part(bit, bit, False)

    def _repeated(self, least: int, most: int, tree: Any) -> _Part:
        """Expand a counted repetition: `x{2,4}` is `xx(x(x)?)?`. An optional copy follows only the copy before it."""
        endless = most == sre.MAXREPEAT
        whole = before = _Part(0, 0, True)
        for number in range(max(least, 1) if endless else most):
            one = self._sequence(tree)
            if not one.first:  # only anchors: repeating them changes nothing
                return one
            if endless and number >= least - 1:
                self._loop(one)
            joined = self._joined(whole if number <= least else before, one)
            last = whole.last | one.last if number >= least else joined.last
            first = joined.first if number <= least or before.empty else whole.first
            whole, before = _Part(first, last, whole.empty and one.empty), one
        return whole._replace(empty=whole.empty or not least)

    def _loop(self, one: _Part) -> None:
        for position in _bits(one.last):
            self.follow[position] |= one.first


def _either(parts: list[_Part]) -> _Part:
    first = last = 0
    for part in parts:
        first, last = first | part.first, last | part.last
    return _Part(first, last, any(part.empty for part in parts))


def _is_anchored(tree: Any) -> bool:
    """Whether a match can begin only at the beginning of the text."""
    for kind, value in tree:
        if kind is sre.AT and value in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
            return True
        if kind is sre.SUBPATTERN:
            return _is_anchored(value[-1])
        if kind is sre.BRANCH:
            return all(_is_anchored(branch) for branch in value[1])
        return False
    return False


def _bits(number: int) -> list[int]:
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found
