"""Events as CSV or NDJSON, however many: page by page along the index, each page a statement of its own.

So memory stays flat, also where events are large, no transaction is kept open while a client reads slowly, and no
statement runs for long. What a slow reader does occupy is one of the web process's four threads for streams:
hence AT_ONCE and MAX_DURATION.
"""

from __future__ import annotations

import codecs
import csv
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from core.busy import Busy
from events.models import Event
from events.query.pages import beyond, first_rows
from events.query.time_slices import Reach

Page = list[tuple[Any, ...]]  # rows
COLUMNS = [
    "id", "application_id", "event_id", "session_id", "category", "name", "timestamp", "received_at", "data"
]  # fmt: skip
PAGE = 2_000  # rows in memory, or as many as MOST_BYTES of events/query/pages.py allow
AT_ONCE = 2  # exports in one web process
MAX_DURATION = 1_800.0  # seconds; then the answer breaks off, which its reader notices
# A spreadsheet would compute a cell that begins like this: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_places = threading.BoundedSemaphore(AT_ONCE)


class Export:
    """The lines of an export. It has a place from the beginning, and gives it back when it is closed or at its end."""

    _has_place = False

    def __init__(self, events: QuerySet[Event], form: str, reach: Reach | None = None) -> None:
        """`form` is "csv" or "ndjson", `reach` says what `events` are filtered by. Raises Busy."""
        if not _places.acquire(blocking=False):
            raise Busy("Other exports are in progress. Please try again in a moment.", seconds=10)
        self._has_place = True
        try:
            self._lines = _FORMS[form](_begun(_rows(events, reach or Reach())))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._lines)
        except BaseException:  # its end, too
            self.close()
            raise

    def close(self) -> None:
        if self._has_place:
            self._has_place = False
            _places.release()

    def __del__(self) -> None:
        """Give the place back also where the answer was dropped without being closed."""
        self.close()


def _begun(pages: Iterator[Page]) -> Iterator[Page]:
    """Read the first page now: a database that is away is a 503 then, and not a 200 that breaks off."""
    first = next(pages, None)
    return iter(()) if first is None else chain([first], pages)


def _rows(events: QuerySet[Event], reach: Reach) -> Iterator[Page]:
    """Yield pages of rows, newest first."""
    until = time.monotonic() + MAX_DURATION
    # As text: Postgres has the JSON in a form that need not be read and written once more.
    texts = events.annotate(text=Cast("data", TextField()))
    rows = texts.order_by("-timestamp", "-id").values_list(*COLUMNS[:-1], "text")
    page, more = first_rows(reach.parts(rows), PAGE)
    while page:
        yield page
        if time.monotonic() > until:
            raise TimeoutError(f"An export has {MAX_DURATION:.0f} seconds.")
        id, timestamp = page[-1][0], page[-1][6]
        rest = replace(reach, end=timestamp).parts(rows.filter(beyond("timestamp", timestamp, id)))
        page, more = first_rows(rest, PAGE) if more else ([], False)


class _Lines:
    """A file that keeps what is written to it until it is asked."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self.write = self._written.append

    def take(self) -> bytes:
        text = "".join(self._written)
        self._written.clear()
        return text.encode()


def _csv(pages: Iterator[Page]) -> Iterator[bytes]:
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow(["application" if name == "application_id" else name for name in COLUMNS])
    yield codecs.BOM_UTF8 + lines.take()  # without which Excel reads UTF-8 as the encoding of the country
    for page in pages:
        for id, application, event_id, session_id, category, name, timestamp, received_at, data in page:
            texts = [disarmed(text) for text in (session_id, category, name)]
            moments = [timestamp.isoformat(), received_at.isoformat()]
            writer.writerow([id, application, event_id, *texts, *moments, data])
        yield lines.take()


def _ndjson(pages: Iterator[Page]) -> Iterator[bytes]:
    names = ["application" if name == "application_id" else name for name in COLUMNS]
    for page in pages:
        yield b"".join(
            orjson.dumps(dict(zip(names, (*row, orjson.Fragment(data)), strict=True))) + b"\n" for *row, data in page
        )


def disarmed(text: str) -> str:
    """Return the text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


_FORMS: dict[str, Callable[[Iterator[Page]], Iterator[bytes]]] = {"csv": _csv, "ndjson": _ndjson}
