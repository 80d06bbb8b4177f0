"""Cursor pagination by (timestamp, id). Every page is equally fast, even if many rows share a timestamp.

A row can have half a MiB, so a page is limited in bytes as well as in rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any

import orjson
from django.db.models import F, Func, IntegerField, Q, QuerySet, Sum, TextField, Window
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.db.models.functions import Cast, RowNumber
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination, _positive_int
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE, MAX_PAGE_SIZE = 50, 500
# JSON or raw bytes in one page. The Python objects made from them take several times as much memory.
MAX_PAGE_BYTES = 4 * 1024 * 1024
# The size of a row in bytes, by the name of its large column.
LARGE = {
    "data": Func(Cast("data", TextField()), function="octet_length", output_field=IntegerField()),
    "raw": Func(F("raw"), function="octet_length", output_field=IntegerField()),
}


def beyond(moment: str, at: datetime, id: int, *, older: bool = True) -> Q:
    """Return the condition for the rows older than this one, or newer if `older` is false.

    `moment` is the name of the timestamp column. The condition has two parts: Postgres selects partitions by the first,
    and finds the position in the index by the second.
    """
    place = Tuple(moment, "id"), (at, id)
    if older:
        return Q(**{f"{moment}__lte": at}) & Q(TupleLessThan(*place))
    return Q(**{f"{moment}__gte": at}) & Q(TupleGreaterThan(*place))


def first_rows(parts: Iterable[QuerySet[Any]], most: int, large: str = "data") -> tuple[list[Any], bool]:
    """Return the first rows of these ordered parts, and whether more rows follow.

    `large` names the large column, or is "" for lists without one. The result has at most `most` rows, and at most
    MAX_PAGE_BYTES in that column. A single row with more bytes than that is returned alone.

    For each part, one statement reads both the rows and whether more follow. With two statements, rows committed
    between them would shift the rows of the second, so that it no longer matched the first.
    """
    found: list[Any] = []
    taken = 0  # bytes
    for part in parts:
        wanted = most - len(found)
        if not large:
            rows = list(part[: wanted + 1])
            count = min(len(rows), wanted)
        else:
            rows, sizes = _with_sizes(part, LARGE[large], wanted + 1, MAX_PAGE_BYTES - taken)
            count = min(fitting(sizes, taken), wanted)
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


def fitting(sizes: Iterable[int], taken: int = 0) -> int:
    """Return how many rows of these sizes fit into MAX_PAGE_BYTES beside `taken` bytes.

    The first row of a page always fits.
    """
    totals = accumulate(sizes, initial=taken)
    return sum(1 for before, total in pairwise(totals) if total <= MAX_PAGE_BYTES or not before)


class NewestFirstPagination(BasePagination):
    """Pagination by `?cursor=` and `?page_size=`: at most MAX_PAGE_SIZE rows and MAX_PAGE_BYTES per page."""

    moment = "timestamp"
    newest_first = True
    large = "data"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        size = _size(request)
        forth, place = _read(request.query_params.get("cursor", ""))
        older = forth == self.newest_first
        rows = queryset.filter(beyond(self.moment, *place, older=older)) if place else queryset
        sign = "-" if older else ""
        rows = rows.order_by(f"{sign}{self.moment}", f"{sign}id")
        page, more = self.read(rows, place[0] if place else None, older, size, request)
        if not forth:
            page.reverse()
        self.next = self._link(page, True) if page and (more or not forth) else None
        self.previous = self._link(page, False) if page and place and (more or forth) else None
        return page

    def read(
        self, rows: QuerySet[Any], at: datetime | None, older: bool, size: int, request: Request
    ) -> tuple[list[Any], bool]:
        """Return a page of these rows, which begin at the cursor's moment `at`, and whether more follow."""
        return first_rows([rows], size, self.large)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "previous": self.previous, "results": data})

    def _link(self, page: list[Any], forth: bool) -> str:
        row = page[-1 if forth else 0]
        place = orjson.dumps([forth, getattr(row, self.moment), row.pk])
        return replace_query_param(self.address, "cursor", base64.urlsafe_b64encode(place).decode())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "As in the last answer's `next` and `previous`.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "Rows in one answer.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE},
            },
        ]


class NewestReceivedFirst(NewestFirstPagination):
    moment = "received_at"
    large = ""  # the list does not contain the raw bytes


class OldestFirstPagination(NewestFirstPagination):
    newest_first = False


def _size(request: Request) -> int:
    try:
        return _positive_int(request.query_params.get("page_size", str(PAGE)), strict=True, cutoff=MAX_PAGE_SIZE)
    except ValueError:
        return PAGE


def _read(cursor: str) -> tuple[bool, tuple[datetime, int] | None]:
    """Return the direction and the row, as (moment, id), of a cursor. Raises NotFound for an invalid cursor."""
    if not cursor:
        return True, None
    try:
        forth, moment, id = orjson.loads(base64.urlsafe_b64decode(cursor))
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None or not 0 <= int(id) < 2**63:
            raise ValueError(cursor)
        return bool(forth), (at, int(id))
    except (ValueError, TypeError) as error:
        raise NotFound("Not a valid cursor. Use `next` or `previous` of a page.") from error
