"""Pages along a moment and an id: the millionth as quick as the first, however many share a moment.

A row may have half a MiB, so a page ends where it is large enough in bytes, too.
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
MAX_PAGE_BYTES = (
    4 * 1024 * 1024
)  # of JSON, or of raw bytes, in one page; what is read from them takes several times that
# How large a row is, by the member that may be.
LARGE = {
    "data": Func(Cast("data", TextField()), function="octet_length", output_field=IntegerField()),
    "raw": Func(F("raw"), function="octet_length", output_field=IntegerField()),
}


def beyond(moment: str, at: datetime, id: int, *, older: bool = True) -> Q:
    """Return the condition for rows that come after (or, not `older`, before) this one, the newest first.

    Postgres takes its place in an index from the second part, and chooses partitions by the first.
    """
    place = Tuple(moment, "id"), (at, id)
    if older:
        return Q(**{f"{moment}__lte": at}) & Q(TupleLessThan(*place))
    return Q(**{f"{moment}__gte": at}) & Q(TupleGreaterThan(*place))


def first_rows(parts: Iterable[QuerySet[Any]], most: int, large: str = "data") -> tuple[list[Any], bool]:
    """Return the first rows of these ordered parts, and whether there are more.

    At most `most` of them, and as many as have MAX_PAGE_BYTES in the member `large`; one that has more comes alone. ""
    is a list without a large member.

    One statement a part reads the rows and whether more follow: rows that are committed between two statements would
    move the second one's rows away from what the first one has decided.
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
    """Return the first rows and their sizes: at most `most`, and none after the first one for which there is no room.

    Postgres stops at the row's number, so it never measures more than `most` rows.
    """
    order: list[Any] = [*part.query.order_by]
    numbered = part.annotate(size=size).alias(
        number=Window(RowNumber(), order_by=order), total=Window(Sum("size"), order_by=order)
    )
    # The second one is read beside a first one of any size: it says that there are more.
    rows = list(numbered.filter(Q(number__lte=2) | Q(total__lte=room + F("size")), number__lte=most)[:most])
    if rows and isinstance(rows[0], tuple):
        return [row[:-1] for row in rows], [row[-1] for row in rows]
    return rows, [row.size for row in rows]


def fitting(sizes: Iterable[int], taken: int = 0) -> int:
    """Return how many rows of these sizes go beside what is taken of MAX_PAGE_BYTES; the first of all always does."""
    totals = accumulate(sizes, initial=taken)
    return sum(1 for before, total in pairwise(totals) if total <= MAX_PAGE_BYTES or not before)


class NewestFirstPagination(BasePagination):
    """Pages by `?cursor=` and `?page_size=`: at most MAX_PAGE_SIZE rows, or as many as MAX_PAGE_BYTES hold."""

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
        """Return a page of these rows, which begin after that moment, and whether there are more."""
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
    large = ""  # their bytes are left out


class OldestFirstPagination(NewestFirstPagination):
    newest_first = False


def _size(request: Request) -> int:
    try:
        return _positive_int(request.query_params.get("page_size", str(PAGE)), strict=True, cutoff=MAX_PAGE_SIZE)
    except ValueError:
        return PAGE


def _read(cursor: str) -> tuple[bool, tuple[datetime, int] | None]:
    """Return the direction and the row that a cursor names. Raises NotFound for one that is not ours."""
    if not cursor:
        return True, None
    try:
        forth, moment, id = orjson.loads(base64.urlsafe_b64decode(cursor))
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None or not 0 <= int(id) < 2**63:
            raise ValueError(cursor)
        return bool(forth), (at, int(id))
    except (ValueError, TypeError) as error:
        raise NotFound("This cursor is none of ours.") from error
