"""Several statements on one database snapshot: a count, and the rows that it counts."""

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
    """Read from one snapshot inside this context; writing is refused. Evaluate lazy querysets before its end.

    A commit between two statements would give inconsistent results: a count of 50 with the newest 50 of 51 rows means
    that the second page is missing. Within a caller's transaction, its isolation level applies.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


class SnapshotPagination(PageNumberPagination):
    """Page number pagination with a total count. Count, rows and links of a page are from one snapshot.

    Two pages are from two snapshots: a row that is added or deleted in between shifts the others.
    """

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        with one_snapshot():
            return super().paginate_queryset(queryset, request, view)


class SnapshotLists(ModelAdmin):
    """Mixin for each admin whose list shows a count and page numbers: they are from the same snapshot as its rows."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        with one_snapshot():
            found = super().get_changelist_instance(request)
            len(found.result_list)  # otherwise the template would query the rows after the snapshot
        return found
