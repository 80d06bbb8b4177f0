"""Cursor pagination for every app's REST API: each page begins after the last row of the previous one."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, Field, Model, Q, QuerySet
from django.utils.timezone import is_naive
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

Place = tuple[Any, ...]  # a row's values of the ordering fields


class KeysetPagination(CursorPagination):
    """Keyset pagination, equally fast at the first and the millionth row. An invalid cursor is a 404.

    `ordering` must end with a unique field, so that each row has a distinct place however many share the other values.
    REST framework's own cursor is a value and an offset among the rows that share it, and limits that offset.
    """

    ordering: tuple[str, ...] = ("-id",)
    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        size = self.get_page_size(request) or 0
        fields = [queryset.model._meta.get_field(name.lstrip("-")) for name in self.ordering]
        forth, place = self._read(request.query_params.get(self.cursor_query_param, ""), fields)
        order = [name if forth else _opposite(name) for name in self.ordering]
        rows: QuerySet[Any] = queryset.filter(beyond(order, place)) if place else queryset
        found = list(rows.order_by(*order)[: size + 1])  # one more row shows whether there is another page
        page, more = found[:size], len(found) > size
        if not forth:
            page.reverse()
        self._next = self._link(page[-1], True) if page and (more or not forth) else None
        self._previous = self._link(page[0], False) if page and place and (more or forth) else None
        return page

    def get_next_link(self) -> str | None:
        return self._next

    def get_previous_link(self) -> str | None:
        return self._previous

    def _link(self, row: Model, forth: bool) -> str:
        place = [getattr(row, name.lstrip("-")) for name in self.ordering]
        cursor = base64.urlsafe_b64encode(orjson.dumps([forth, *place])).decode()
        return replace_query_param(self.address, self.cursor_query_param, cursor)

    def _read(self, cursor: str, fields: list[Field[Any, Any]]) -> tuple[bool, Place | None]:
        """Return the direction (true = forward) and the place of a cursor. Raises NotFound for an invalid one."""
        if not cursor:
            return True, None
        try:
            forth, *values = orjson.loads(base64.urlsafe_b64decode(cursor))
            place = tuple(_value(field, value) for field, value in zip(fields, values, strict=True))
        except (ValueError, TypeError, ValidationError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        return bool(forth), place


def beyond(order: list[str], place: Place) -> Q:
    """Return the condition for rows after this place. Its first field's part lets the index be used."""
    found = Q()
    for name, value in reversed(list(zip(order, place, strict=True))):
        side = "lt" if name.startswith("-") else "gt"
        field = name.lstrip("-")
        after = Q(**{f"{field}__{side}": value})
        found = Q(**{f"{field}__{side}e": value}) & (after | found) if found else after
    return found


def _opposite(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _value(field: Field[Any, Any], value: Any) -> Any:
    """Return a field's value for the database. Raises ValidationError or ValueError."""
    found = field.to_python(value)
    field.run_validators(found)
    if found is None or "\0" in str(found) or (isinstance(field, DateTimeField) and is_naive(found)):
        raise ValueError(value)
    return found
