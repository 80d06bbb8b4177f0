"""Several statements that see the database at one moment: a count, and the rows that are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db import connection, transaction
from django.http import HttpRequest
from rest_framework.pagination import PageNumberPagination


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Read inside from one snapshot, and write nothing. Evaluate lazy querysets before the end.

    Rows that commit between two statements would displace others: a count of 50 beside the newest 50 of 51 rows says
    that there is no second page. Within a caller's transaction its isolation applies.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


class SnapshotPagination(PageNumberPagination):
    """Pages by number, with the count of all rows. Count, rows and links of a page are of one moment.

    Two pages are of two moments: a row that is added or deleted meanwhile moves the others on or back.
    """

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        with one_snapshot():
            return super().paginate_queryset(queryset, request, view)


class SnapshotLists(ModelAdmin):
    """A mixin of each admin whose list shows a count and page numbers: both are of the moment of its rows."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        with one_snapshot():
            found = super().get_changelist_instance(request)
            len(found.result_list)  # the template would ask for the rows later
        return found
