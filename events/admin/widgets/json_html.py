"""JSON as HTML: indented, coloured, with the places marked that the validation errors name.

The input may be hostile. It is parsed again literally, so that 1e400, duplicate keys and lone surrogates are shown as
they were sent. Invalid JSON is shown as text, invalid UTF-8 as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

MAX_DEPTH = 40  # levels; deeper values are shown in one line
MAX_CHARACTERS = 60_000  # per page
MAX_LINES = 1_500
MAX_BYTES = 2_048  # shown in hexadecimal
CONTROL = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {127: "␡"}


class Literal(str):
    """A number as it was written."""


class Pairs(list[tuple[str, Any]]):
    """An object as it was written, in its order and with duplicate keys."""


def json_html(value: Any, marked: Iterable[str] = ()) -> SafeString:
    """Return the HTML of a value that was already parsed."""
    return text_html(json.dumps(value, ensure_ascii=False), marked)


def raw_html(raw: bytes, marked: Iterable[str] = ()) -> SafeString:
    """Return the HTML of bytes that should be JSON but may be anything."""
    try:
        return text_html(raw.decode(), marked)
    except UnicodeDecodeError:
        return format_html('<pre class="json json-raw">{}</pre>', "\n".join(_dump(raw)))


def text_html(text: str, marked: Iterable[str] = ()) -> SafeString:
    """Return the HTML of a text that should be JSON. `marked` are JSON pointers (RFC 6901) to places to be marked."""
    try:
        value = _read(text)
    except (ValueError, RecursionError):
        shown = text[:MAX_CHARACTERS].translate(CONTROL) + _cut(len(text), MAX_CHARACTERS, "characters")
        return format_html('<pre class="json json-raw">{}</pre>', _clean(shown))
    # Generate only the lines that are shown: a value with 250,000 members would take seconds.
    lines = list(islice(_lines(value, {_there(value, pointer) for pointer in marked}), MAX_LINES + 1))
    rest = "\n… more lines" if len(lines) > MAX_LINES else ""
    return format_html('<pre class="json">{}</pre>', mark_safe("".join(lines[:MAX_LINES]) + rest))  # noqa: S308


def _read(text: str) -> Any:
    return json.loads(text, object_pairs_hook=Pairs, parse_float=Literal, parse_int=Literal, parse_constant=Literal)


def _there(value: Any, pointer: str) -> tuple[str, ...]:
    """Return the path to the place of the pointer. If it does not exist, the path to its nearest existing parent."""
    found: list[str] = []
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        inside = dict(_entries(value))
        if key not in inside:
            break
        value = inside[key]
        found.append(key)
    return tuple(found)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Pairs):
        yield from value
    elif isinstance(value, list):
        yield from ((str(number), each) for number, each in enumerate(value))


def _lines(
    value: Any, marked: set[tuple[str, ...]], path: tuple[str, ...] = (), key: str | None = None, comma: str = ""
) -> Iterator[str]:
    """Yield the lines of a value. The first line has its key, the last its comma."""
    indent = "  " * len(path)
    before = f'{indent}<span class="json-key">{_quoted(key)}</span>: ' if key is not None else indent
    opening, closing = ("{", "}") if isinstance(value, Pairs) else ("[", "]")
    if not isinstance(value, list) or not value or len(path) >= MAX_DEPTH:
        whole = _scalar(value) if not isinstance(value, list) else opening + ("…" if value else "") + closing
        yield _line(before + whole + comma, path in marked)
        return
    yield _line(before + opening, path in marked)
    entries = list(_entries(value))
    for number, (name, each) in enumerate(entries, 1):
        shown = name if isinstance(value, Pairs) else None
        yield from _lines(each, marked, (*path, name), shown, "," if number < len(entries) else "")
    yield _line(indent + closing + comma, path in marked)


def _line(line: str, is_marked: bool) -> str:
    return f'<mark class="json-line">{line}</mark>\n' if is_marked else f"{line}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, Literal):
        return f'<span class="json-number">{escape(value[:200])}</span>'
    if isinstance(value, str):
        return f'<span class="json-text">{_quoted(value)}</span>'
    word = {True: "true", False: "false", None: "null"}[value]
    return f'<span class="json-word">{word}</span>'


def _quoted(text: str) -> str:
    return escape(_clean(json.dumps(text[:MAX_CHARACTERS], ensure_ascii=False)))


def _clean(text: str) -> str:
    """Escape lone surrogates, which cannot be encoded in a page."""
    return text.encode("utf-8", "backslashreplace").decode()


def _dump(raw: bytes) -> Iterator[str]:
    for at in range(0, min(len(raw), MAX_BYTES), 16):
        row = raw[at : at + 16]
        readable = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        yield f"{at:06x}  {row.hex(' '):<47}  {readable}"
    yield _cut(len(raw), MAX_BYTES, "bytes")


def _cut(there: int, shown: int, unit: str) -> str:
    return f"\n… {there - shown:,} more {unit}" if there > shown else ""
