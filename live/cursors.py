"""Lists that are read page by page, each beginning where the one before ended: for every app's REST interface."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.timezone import is_naive
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class CursorPages(CursorPagination):
    """Pages by a cursor, equally quick at the first and the millionth row. A cursor that nobody was given is a 404.

    The library believes whatever a cursor says of the place, and the database is the first to find that it is none.
    """

    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        self.model = queryset.model
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not self._is_place(cursor.position):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def _is_place(self, position: Any) -> bool:
        field = self.model._meta.get_field(self.ordering[0].lstrip("-"))
        try:
            place = field.to_python(position)
        except ValidationError:
            return False
        return place is not None and not (isinstance(place, datetime) and is_naive(place))
