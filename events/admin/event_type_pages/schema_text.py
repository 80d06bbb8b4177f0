"""Parser for a schema or an example entered as text. Errors have a line and a column."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from events.validation.schema_check import unstorable

MAX_TEXT_LENGTH = 256 * 1024  # characters; longer texts are not parsed
CONTEXT = 3  # lines around a difference


class InvalidText(ValueError):
    """The text is not valid JSON. `line` and `column` count from 1, and are 0 if the error has no position."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"Line {line}, column {column}: {message}" if line else message)
        self.line = line
        self.column = column


@dataclass(frozen=True)
class DiffLine:
    """A line of a diff. `kind` is "same", "more" (added), "less" (removed) or "gap"."""

    kind: str
    text: str


def read_json(text: str) -> Any:
    """Parse a JSON text. Raises InvalidText, also for a repeated key, which is certainly a mistake.

    Values that no database can store, and therefore no event, are errors as well: 1e400 is valid JSON, but infinite
    when parsed.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidText(f"This has {len(text):,} characters; {MAX_TEXT_LENGTH:,} are allowed.")
    value = _parsed(text)
    for words, place in unstorable(value):
        raise InvalidText(f"{words} (at {place or 'the top'})")
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidText(f"{error.msg}.", error.lineno, error.colno) from error
    except RecursionError as error:
        raise InvalidText("This is nested too deeply.") from error
    except InvalidText:
        raise
    except ValueError as error:  # such as an integer of ten thousand digits
        raise InvalidText("This holds a number that is too long.") from error


def write_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def differences(before: Any, after: Any) -> list[DiffLine]:
    """Return the line-by-line diff of two schemas. Empty if they are equal."""
    lines = difflib.unified_diff(
        write_json(before).splitlines(), write_json(after).splitlines(), lineterm="", n=CONTEXT
    )
    kinds = {"+": "more", "-": "less", "@": "gap"}
    return [DiffLine(kinds.get(line[:1], "same"), line) for line in list(lines)[2:]]


def changed_lines(before: Any, after: Any) -> int:
    """Return the approximate number of lines that a version changed, in linear time.

    A real diff may take seconds, and a page needs one per version.
    """
    old, new = (Counter(write_json(one).splitlines()) for one in (before, after))
    return (old - new).total() + (new - old).total()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidText(f"The key “{next(name for name in names if names.count(name) > 1)}” occurs twice.")
    return found


def _no_constant(word: str) -> Any:
    raise InvalidText(f"{word} is not valid JSON.")
