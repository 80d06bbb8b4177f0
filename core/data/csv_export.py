"""CSV files for spreadsheets: they begin with a byte order mark, and no cell of them is evaluated as a formula."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

# A spreadsheet evaluates a cell that begins with one of these: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_lines(columns: Sequence[str], pages: Iterable[Iterable[Iterable[Any]]]) -> Iterator[bytes]:
    """Yield the head, then the rows of each page. Texts get a leading quote if they could be formulas.

    Without the byte order mark, Excel reads UTF-8 in the local legacy encoding.
    """
    lines: list[str] = []
    writer = csv.writer(SimpleNamespace(write=lines.append))
    writer.writerow(columns)
    yield codecs.BOM_UTF8 + _taken(lines)
    for page in pages:
        writer.writerows((disarmed(cell) for cell in row) for row in page)
        yield _taken(lines)


def _taken(lines: list[str]) -> bytes:
    """Return the lines as bytes, and release their memory before the caller waits for its client."""
    text = "".join(lines)
    lines.clear()
    return text.encode()


def disarmed(cell: Any) -> Any:
    """Return a cell that no spreadsheet evaluates: with a leading apostrophe if it is a text like a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
