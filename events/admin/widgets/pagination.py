"""Keyset pagination of the admin's own lists, by the query parameter `cursor`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from core.rest.pagination import KeysetPage, keyset_page


def page_at(request: HttpRequest, rows: QuerySet[Any], ordering: tuple[str, ...], size: int, *read: Any) -> KeysetPage:
    """Return the page at the request's cursor; the first page if the cursor is invalid."""
    try:
        return keyset_page(rows, ordering, request.GET.get("cursor", ""), size, *read)
    except ValueError:
        return keyset_page(rows, ordering, "", size, *read)
