"""Pages along a moment and an id: the millionth as quick as the first, however many share a moment."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import orjson
from django.db.models import Q
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination, _positive_int
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE, MOST = 50, 500


def beyond(moment: str, at: datetime, id: int, *, older: bool = True) -> Q:
    """Return the condition for rows that come after (or, not `older`, before) this one, the newest first.

    Postgres takes its place in an index from the second part, and chooses partitions by the first.
    """
    place = Tuple(moment, "id"), (at, id)
    if older:
        return Q(**{f"{moment}__lte": at}) & Q(TupleLessThan(*place))
    return Q(**{f"{moment}__gte": at}) & Q(TupleGreaterThan(*place))


class NewestFirst(BasePagination):
    """`?cursor=` of the answer's own `next` and `previous`, `?page_size=` up to MOST."""

    moment = "timestamp"
    newest_first = True

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        size = _size(request)
        forth, place = _read(request.query_params.get("cursor", ""))
        older = forth == self.newest_first
        rows = queryset.filter(beyond(self.moment, *place, older=older)) if place else queryset
        sign = "-" if older else ""
        page = list(rows.order_by(f"{sign}{self.moment}", f"{sign}id")[: size + 1])
        more, page = len(page) > size, page[:size]
        if not forth:
            page.reverse()
        self.next = self._link(page, True) if page and (more or not forth) else None
        self.previous = self._link(page, False) if page and place and (more or forth) else None
        return page

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
                "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
            },
        ]


class NewestReceivedFirst(NewestFirst):
    moment = "received_at"


class OldestFirst(NewestFirst):
    newest_first = False


def _size(request: Request) -> int:
    try:
        return _positive_int(request.query_params.get("page_size", str(PAGE)), strict=True, cutoff=MOST)
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
