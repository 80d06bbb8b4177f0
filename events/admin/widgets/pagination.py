"""Keyset pagination: cursors instead of page numbers, so the millionth page is as fast as the first and has no count.

Rows are ordered by a timestamp and their id. A cursor consists of these two values of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from events.query.pages import first_rows

Parts = Callable[[QuerySet[Any], bool], Iterable[QuerySet[Any]]]  # (ordered rows, whether newest first)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class CursorPage:
    """Some rows, newest first. `older` and `newer` are the cursors of the neighbouring pages, or ""."""

    rows: list[Any]
    older: str
    newer: str


def page_of(
    rows: QuerySet[Any], asked: Any, size: int, by: str = "timestamp", large: str = "data", parts: Parts | None = None
) -> CursorPage:
    """Return the page for the `older=` or `newer=` cursor of the query, otherwise the first page.

    `by` is the timestamp field, `large` the field that makes rows large. `parts` limits the search to ranges that may
    contain rows.
    """
    parts = parts or (lambda rows, _: [rows])
    older, newer = _read(asked.get("older", "")), _read(asked.get("newer", ""))
    if newer:
        found, more = first_rows(parts(_in_order(_after(rows, newer, by), "", by), False), size, large)
        found.reverse()
        return CursorPage(found, _cursor(found, -1, by), _cursor(found, 0, by) if more else "")
    found, more = first_rows(parts(_in_order(_before(rows, older, by) if older else rows, "-", by), True), size, large)
    return CursorPage(found, _cursor(found, -1, by) if more else "", _cursor(found, 0, by) if older else "")


def moment_of(cursor: str) -> datetime | None:
    """Return the timestamp of a cursor. An invalid cursor gives None."""
    at = _read(cursor)
    return at[0] if at else None


def in_order(rows: QuerySet[Any], later: str, size: int) -> tuple[list[Any], str, datetime | None]:
    """Return rows after the cursor `later`, oldest first, with the next cursor and the timestamp of `later`."""
    at = _read(later)
    found, more = first_rows([_in_order(_after(rows, at, "timestamp") if at else rows, "", "timestamp")], size)
    return found, _cursor(found, -1, "timestamp") if more else "", at[0] if at else None


def _in_order(rows: QuerySet[Any], sign: str, by: str) -> QuerySet[Any]:
    return rows.order_by(f"{sign}{by}", f"{sign}pk")


def _after(rows: QuerySet[Any], at: tuple[datetime, int], by: str) -> QuerySet[Any]:
    """Filter by the cursor. The first condition is the index condition; the second is exact."""
    moment, pk = at
    return rows.filter(**{f"{by}__gte": moment}).filter(Q(**{f"{by}__gt": moment}) | Q(pk__gt=pk))


def _before(rows: QuerySet[Any], at: tuple[datetime, int], by: str) -> QuerySet[Any]:
    moment, pk = at
    return rows.filter(**{f"{by}__lte": moment}).filter(Q(**{f"{by}__lt": moment}) | Q(pk__lt=pk))


def _cursor(rows: list[Any], at: int, by: str) -> str:
    """Return the cursor of a row, in microseconds like the database."""
    return f"{(getattr(rows[at], by) - EPOCH) // MICROSECOND}.{rows[at].pk}" if rows else ""


def _read(text: str) -> tuple[datetime, int] | None:
    micros, _, pk = text.partition(".")
    digits = micros.removeprefix("-") + pk
    if not (digits.isascii() and digits.isdigit() and micros not in ("", "-") and pk and len(text) < 40):
        return None
    try:
        return (EPOCH + int(micros) * MICROSECOND, int(pk)) if len(pk) < 19 else None
    except OverflowError:
        return None
