"""Keyset pagination for REST and the admin: each page begins after the last row of the previous one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, Field, Model, Q, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.utils.timezone import is_naive
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

Place = tuple[Any, ...]  # a row's values of the ordering fields
Rows = tuple[list[Any], bool]  # the first rows of a list, and whether more follow


class KeysetPage(NamedTuple):
    """A page of rows in the order of the list, and the cursors of the neighbouring pages, or "".

    `place` is the place after which the page begins (or before which it ends); None for the first page.
    """

    rows: list[Any]
    next: str
    previous: str
    place: Place | None


def first_of(rows: QuerySet[Any], size: int, place: Place | None) -> Rows:
    found = list(rows[: size + 1])  # one more row shows whether there is another page
    return found[:size], len(found) > size


def keyset_page(
    queryset: QuerySet[Any],
    ordering: Sequence[str],
    cursor: str,
    size: int,
    read: Callable[[QuerySet[Any], int, Place | None], Rows] = first_of,
) -> KeysetPage:
    """Return the page at a cursor; "" is the first page. Raises ValueError for an invalid cursor.

    `ordering` must end with a unique field, so that each row has a distinct place however many share the other values.
    `read` returns the first rows of the ordered query set, which begins after the place.
    """
    forth, place = _read_cursor(cursor, [queryset.model._meta.get_field(name.lstrip("-")) for name in ordering])
    order = [name if forth else _opposite(name) for name in ordering]
    rows = queryset.filter(beyond(order, place)) if place else queryset
    page, more = read(rows.order_by(*order), size, place)
    if not forth:
        page.reverse()
    following = _cursor(page[-1], ordering, True) if page and (more or not forth) else ""
    before = _cursor(page[0], ordering, False) if page and place and (more or forth) else ""
    return KeysetPage(page, following, before, place)


def _cursor(row: Model, ordering: Sequence[str], forth: bool) -> str:
    place = [getattr(row, name.lstrip("-")) for name in ordering]
    return base64.urlsafe_b64encode(orjson.dumps([forth, *place])).decode()


def _read_cursor(cursor: str, fields: list[Field[Any, Any]]) -> tuple[bool, Place | None]:
    """Return the direction (true = forward) and the place of a cursor. Raises ValueError for an invalid one."""
    if not cursor:
        return True, None
    try:
        forth, *values = orjson.loads(base64.urlsafe_b64decode(cursor))
        return bool(forth), tuple(_value(field, value) for field, value in zip(fields, values, strict=True))
    except (TypeError, ValidationError) as error:
        raise ValueError(cursor) from error


class KeysetPagination(CursorPagination):
    """Keyset pagination, equally fast at the first and the millionth row. An invalid cursor is a 404.

    REST framework's own cursor is a value and an offset among the rows that share it, and limits that offset.
    """

    ordering: tuple[str, ...] = ("-id",)
    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        size, cursor = self.get_page_size(request) or 0, request.query_params.get(self.cursor_query_param, "")
        try:
            self.found = keyset_page(queryset, self.ordering, cursor, size, self.read)
        except ValueError as error:
            raise NotFound(self.invalid_cursor_message) from error
        return self.found.rows

    def read(self, rows: QuerySet[Any], size: int, place: Place | None) -> Rows:
        """Return the first rows, and whether more follow. The rows begin after `place`."""
        return first_of(rows, size, place)

    def get_next_link(self) -> str | None:
        return self._link(self.found.next)

    def get_previous_link(self) -> str | None:
        return self._link(self.found.previous)

    def _link(self, cursor: str) -> str | None:
        address = self.request.build_absolute_uri()
        return replace_query_param(address, self.cursor_query_param, cursor) if cursor else None


def beyond(order: Sequence[str], place: Place) -> Q:
    """Return the condition for rows after this place.

    Postgres selects partitions and index ranges by its first part. The comparison of tuples finds the position in the
    index, however many rows share the first value; it needs fields of one direction.
    """
    names = [name.lstrip("-") for name in order]
    descending = {name.startswith("-") for name in order}
    if len(order) > 1 and len(descending) == 1:
        side, compare = ("lte", TupleLessThan) if True in descending else ("gte", TupleGreaterThan)
        return Q(**{f"{names[0]}__{side}": place[0]}) & Q(compare(Tuple(*names), place))
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
