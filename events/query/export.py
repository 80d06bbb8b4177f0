"""Export of any number of events as CSV or NDJSON. It reads page by page along the index, one statement per page.

Memory therefore stays constant, even for large events. No transaction stays open while a client reads slowly, and no
statement runs for long. A slow reader does occupy one of the four threads that a web process has for streams, so
AT_ONCE and MAX_DURATION limit exports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from core.busy import Busy
from core.data.csv_export import csv_lines
from events.models import Event
from events.query.pages import all_pages
from events.query.time_slices import TimeSlices

Page = list[tuple[Any, ...]]  # rows
COLUMNS = [
    "id", "application_id", "event_id", "session_id", "category", "name", "timestamp", "received_at", "data"
]  # fmt: skip
PAGE = 2_000  # maximum rows in memory; fewer if they reach MAX_PAGE_BYTES of events/query/pages.py
_NAMES = ["application" if name == "application_id" else name for name in COLUMNS]
AT_ONCE = 2  # concurrent exports in one web process
MAX_DURATION = 1_800.0  # seconds; then the response is cut off, which the client detects
_places = threading.BoundedSemaphore(AT_ONCE)


class Export:
    """An iterator over the bytes of an export.

    It occupies one of the AT_ONCE places from its creation until it is exhausted, fails, or is closed.
    """

    _has_place = False

    def __init__(self, events: QuerySet[Event], format: str, slices: TimeSlices | None = None) -> None:
        """`format` is "csv" or "ndjson"; `slices` are the filters of `events`. Raises Busy if no place is free."""
        if not _places.acquire(blocking=False):
            raise Busy("Other exports are in progress. Please try again in a moment.", seconds=10)
        self._has_place = True
        try:
            self._lines = _FORMATS[format](_with_first_page(_rows(events, slices or TimeSlices())))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._lines)
        except BaseException:  # includes StopIteration, the regular end
            self.close()
            raise

    def close(self) -> None:
        if self._has_place:
            self._has_place = False
            _places.release()

    def __del__(self) -> None:
        """Release the place even if the response was dropped without being closed."""
        self.close()


def _with_first_page(pages: Iterator[Page]) -> Iterator[Page]:
    """Read the first page at once, so that an unreachable database gives a 503 and not a 200 that is cut off."""
    first = next(pages, None)
    return iter(()) if first is None else chain([first], pages)


def _rows(events: QuerySet[Event], slices: TimeSlices) -> Iterator[Page]:
    """Yield pages of rows, newest first."""
    until = time.monotonic() + MAX_DURATION
    # Read `data` as text: Postgres returns the finished JSON, so Python need not parse and serialise it.
    texts = events.annotate(text=Cast("data", TextField()))
    rows = texts.order_by("-timestamp", "-id").values_list(*COLUMNS[:-1], "text")
    for page in all_pages(rows, lambda row: (row[6], row[0]), PAGE, slices.first_rows):
        yield page
        if time.monotonic() > until:
            raise TimeoutError(f"The export took longer than {MAX_DURATION:.0f} seconds.")


def _csv(pages: Iterator[Page]) -> Iterator[bytes]:
    return csv_lines(_NAMES, (map(_cells, page) for page in pages))


def _cells(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *before, timestamp, received_at, data = row
    return (*before, timestamp.isoformat(), received_at.isoformat(), data)


def _ndjson(pages: Iterator[Page]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(
            orjson.dumps(dict(zip(_NAMES, (*row, orjson.Fragment(data)), strict=True))) + b"\n" for *row, data in page
        )


_FORMATS: dict[str, Callable[[Iterator[Page]], Iterator[bytes]]] = {"csv": _csv, "ndjson": _ndjson}
