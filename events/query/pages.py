"""Pages of events and rejected events. A row can have half a MiB, so they are limited in bytes as well as in rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any

from django.db.models import F, Func, IntegerField, Q, QuerySet, Sum, TextField, Window
from django.db.models.functions import Cast, RowNumber

from core.rest.pagination import KeysetPagination, Place, Rows, beyond

# JSON or raw bytes in one page. The Python objects made from them take several times as much memory.
MAX_PAGE_BYTES = 4 * 1024 * 1024
# The size of a row in bytes, by the name of its large column.
LARGE = {
    "data": Func(Cast("data", TextField()), function="octet_length", output_field=IntegerField()),
    "raw": Func(F("raw"), function="octet_length", output_field=IntegerField()),
}


def first_rows(parts: Iterable[QuerySet[Any]], most: int, large: str = "data") -> Rows:
    """Return the first rows of these ordered parts, and whether more rows follow.

    `large` names the large column. The result has at most `most` rows, and at most MAX_PAGE_BYTES in that column. A
    single row with more bytes than that is returned alone.

    For each part, one statement reads both the rows and whether more follow. With two statements, rows committed
    between them would shift the rows of the second, so that it no longer matched the first.
    """
    found: list[Any] = []
    taken = 0  # bytes
    for part in parts:
        wanted = most - len(found)
        rows, sizes = _with_sizes(part, LARGE[large], wanted + 1, MAX_PAGE_BYTES - taken)
        count = min(rows_within_bytes(sizes, taken), wanted)
        taken += sum(sizes)
        found += rows[:count]
        if count < len(rows):
            return found, True
    return found, False


def _with_sizes(part: QuerySet[Any], size: Func[Any], most: int, room: int) -> tuple[list[Any], list[int]]:
    """Return the first rows and their sizes: at most `most`, ending with the row whose running total exceeds `room`.

    Postgres stops at row number `most`, so it never measures more rows than that.
    """
    order: list[Any] = [*part.query.order_by]
    numbered = part.annotate(size=size).alias(
        number=Window(RowNumber(), order_by=order), total=Window(Sum("size"), order_by=order)
    )
    # The second row is read after a first row of any size, because its existence shows that more rows follow.
    rows = list(numbered.filter(Q(number__lte=2) | Q(total__lte=room + F("size")), number__lte=most)[:most])
    if rows and isinstance(rows[0], tuple):
        return [row[:-1] for row in rows], [row[-1] for row in rows]
    return rows, [row.size for row in rows]


def rows_within_bytes(sizes: Iterable[int], taken: int = 0) -> int:
    """Return how many rows of these sizes fit into MAX_PAGE_BYTES beside `taken` bytes.

    The first row of a page always fits.
    """
    totals = accumulate(sizes, initial=taken)
    return sum(1 for before, total in pairwise(totals) if total <= MAX_PAGE_BYTES or not before)


def all_pages(
    rows: QuerySet[Any],
    place_of: Callable[[Any], Place],
    size: int,
    read: Callable[[QuerySet[Any], int, Place | None], Rows],
    most: int = sys.maxsize,
) -> Iterator[list[Any]]:
    """Yield pages of the first `most` rows of an ordered query set.

    Each page is one statement, so that no transaction or cursor stays open.
    """
    order = [str(name) for name in rows.query.order_by]
    page, more = read(rows, min(size, most), None)
    while page:
        yield page
        most -= len(page)
        place = place_of(page[-1])
        page, more = read(rows.filter(beyond(order, place)), min(size, most), place) if more and most else ([], False)


class NewestFirstPagination(KeysetPagination):
    """Events, newest first: at most `max_page_size` rows and MAX_PAGE_BYTES per page."""

    ordering = ("-timestamp", "-id")

    def read(self, rows: QuerySet[Any], size: int, place: Place | None) -> Rows:
        return first_rows([rows], size)


class OldestFirstPagination(NewestFirstPagination):
    ordering = ("timestamp", "id")


class NewestReceivedFirstPagination(KeysetPagination):
    ordering = ("-received_at", "-id")
