"""A schema or an example as it was typed: read, or refused with the line and the column."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from events.validation.schema_check import unstorable

MAX_TEXT_LENGTH = 256 * 1024  # characters that are read at all
CONTEXT = 3  # lines around a difference


class TypedWrong(ValueError):
    """Why the text is no JSON, with where; `line` and `column` count from 1, and are 0 where it has no place."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"Line {line}, column {column}: {message}" if line else message)
        self.line = line
        self.column = column


@dataclass(frozen=True)
class DiffLine:
    """A line of a difference: `kind` is "same", "more", "less" or "gap"."""

    kind: str
    text: str


def read_json(text: str) -> Any:
    """Return what the text says. Raises TypedWrong; a doubled key is an error here, for one of the two is a mistake.

    So is what no database can hold, and so no event: 1e400 is JSON, and infinite when it is read.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise TypedWrong(f"This has {len(text):,} characters; {MAX_TEXT_LENGTH:,} are allowed.")
    value = _parsed(text)
    for words, place in unstorable(value):
        raise TypedWrong(f"{words} (at {place or 'the top'})")
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise TypedWrong(f"{error.msg}.", error.lineno, error.colno) from error
    except RecursionError as error:
        raise TypedWrong("This is nested too deeply.") from error
    except TypedWrong:
        raise
    except ValueError as error:  # such as an integer of ten thousand digits
        raise TypedWrong("This holds a number that is too long.") from error


def write_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def differences(before: Any, after: Any) -> list[DiffLine]:
    """Return how one schema became another, line by line; nothing where they are the same."""
    lines = difflib.unified_diff(
        write_json(before).splitlines(), write_json(after).splitlines(), lineterm="", n=CONTEXT
    )
    kinds = {"+": "more", "-": "less", "@": "gap"}
    return [DiffLine(kinds.get(line[:1], "same"), line) for line in list(lines)[2:]]


def changed_lines(before: Any, after: Any) -> int:
    """Return about how many lines a version changed, in a time that is proportional to both.

    A comparison line by line may take seconds, and a page has one for each version.
    """
    old, new = (Counter(write_json(one).splitlines()) for one in (before, after))
    return (old - new).total() + (new - old).total()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise TypedWrong(f"The key “{next(name for name in names if names.count(name) > 1)}” is there twice.")
    return found


def _no_constant(word: str) -> Any:
    raise TypedWrong(f"{word} is no JSON.")
