"""The list of event types, with their counts of accepted and rejected events of the last 24 hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from core.admin.deletion import DeletionAdmin
from core.admin.row_history import RowHistoryAdmin
from core.rest.snapshots import SnapshotLists
from core.templatetags.opsroom import when
from events import services
from events.admin.event_type_pages.page import EventTypePageAdmin
from events.models import EventType, Minute


class TypeList(ChangeList):
    """Changelist that reads the last day's counts once for all rows of the page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = last_day()
        for row in self.result_list:
            row.accepted, row.rejected = counts.get((row.category, row.name), (0, 0))


@admin.register(EventType)
class EventTypeAdmin(EventTypePageAdmin, DeletionAdmin, RowHistoryAdmin, SnapshotLists, ModelAdmin):
    list_display = ["type", "in_version", "accepted", "rejected", "changed"]
    list_per_page = 50
    search_fields = ["category", "name"]
    search_help_text = "Category or name"
    sortable_by = ()
    actions = None
    change_list_template = "events/event_type_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TypeList]:
        return TypeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Event types", **(extra_context or {})})

    @display(description="Type")
    def type(self, row: EventType) -> str:
        return format_html('<strong>{}</strong> <span class="faint">{}</span>', row.name, row.category)

    @display(description="Version")
    def in_version(self, row: EventType) -> str:
        return str(row.version)

    @display(description="Events, 24 hours")
    def accepted(self, row: Any) -> str:
        return format_html('<span class="number">{}</span>', f"{row.accepted:,}")

    @display(description="Rejected, 24 hours")
    def rejected(self, row: Any) -> str:
        return format_html(
            '<span class="number {}">{}</span>', "events-bad" if row.rejected else "faint", f"{row.rejected:,}"
        )

    @display(description="Changed")
    def changed(self, row: EventType) -> str:
        return when(row.updated_at, "ago")

    def delete_model(self, request: HttpRequest, obj: EventType) -> None:
        services.delete_event_type(event_type=obj, actor=request.user)


def last_day() -> dict[tuple[str, str], tuple[int, int]]:
    """Return the counts of accepted and rejected events of the last 24 hours by (category, name)."""
    since = timezone.now() - timedelta(hours=24)
    counts = Minute.objects.filter(minute__gte=since).order_by().values_list("category", "name")
    return {(row[0], row[1]): (row[2], row[3]) for row in counts.annotate(Sum("events"), Sum("rejected"))}
