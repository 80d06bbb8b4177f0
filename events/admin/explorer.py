"""The event explorer: filters in the URL, a chart of the range, events newest first, and one event beside them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, reverse
from django.utils.text import Truncator
from unfold.admin import ModelAdmin

from core.admin.deletion import DeletionAdmin
from core.sorting import by_name
from events import services
from events.admin.explorer_filters import ExplorerFilters
from events.admin.time_range import PRESETS, utc_text
from events.admin.widgets.chart import chart_of
from events.admin.widgets.formatting import digest_lag
from events.admin.widgets.json_html import json_html
from events.admin.widgets.page_admin import ReadOnlyPageAdmin
from events.admin.widgets.pagination import page_at
from events.admin.widgets.snippets import snippets
from events.models import Application, Event, EventType

PAGE = 50
MAX_EVENT_TYPES = 500  # offered as suggestions while typing


@admin.register(Event)
class EventAdmin(ReadOnlyPageAdmin, DeletionAdmin, ModelAdmin):
    """The admin of events: view and delete. Only the REST API changes events."""

    def delete_model(self, request: HttpRequest, obj: Event) -> None:
        """Delete by the service, which updates sessions and counts. The admin has already logged the deletion."""
        services.delete_event(event=obj)

    def lock_for_deletion(self, pk: Any) -> Event | None:
        return services.lock_event(pk).first()

    def get_urls(self) -> list[URLPattern]:
        return [
            self.page_url("live/", self.live, "live"),
            self.page_url("<int:pk>/beside/", self.beside, "beside"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        filters = self._filters(request)
        context = {
            **self.admin_site.each_context(request),
            **self._found(request, filters),
            "title": "Explorer",
            "opts": self.opts,
            "presets": [(name, words, filters.as_query(range=name)) for name, (words, _) in PRESETS.items()],
            "applications": Application.objects.only("name").order_by(by_name("name"), "name"),
            "types": EventType.objects.values_list("category", "name")[:MAX_EVENT_TYPES],
            "inputs": filters.time_range.inputs(),
            "export": _export(filters),
        }
        if not context["page"].rows and not Event.objects.exists():
            context["snippets"] = snippets(request)
        return render(request, "events/explorer.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the chart and the table."""
        return render(request, "events/explorer_found.html", self._found(request, self._filters(request)))

    def beside(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with one event."""
        return render(request, "events/event.html", self._one(request, pk))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one event on its own page."""
        context = self._one(request, object_id)
        frame = {**self.admin_site.each_context(request), "title": str(context["event"]), "opts": self.opts}
        return render(request, "events/event_page.html", {**frame, **context, "original": context["event"]})

    def _filters(self, request: HttpRequest) -> ExplorerFilters:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return ExplorerFilters.of(request.GET)

    def _found(self, request: HttpRequest, filters: ExplorerFilters) -> dict[str, Any]:
        events = filters.events().select_related("application")
        page = page_at(request, events, ("-timestamp", "-id"), PAGE, filters.time_slices().first_rows)
        return {
            "filters": filters,
            "chart": chart_of(filters),
            "page": page,
            "rows": [(event, _summary(event.data)) for event in page.rows],
            "late": digest_lag(),
            "is_first": page.place is None,
            "query": filters.as_query(),
            "wider": filters.as_query(range="all"),
            "live": f"{reverse('admin:events_event_live')}?{request.GET.urlencode()}",
        }

    def _one(self, request: HttpRequest, object_id: Any) -> dict[str, Any]:
        events = Event.objects.select_related("application")
        event = self.viewed(request, object_id, "This event does not exist, or was deleted.", events)
        type = EventType.objects.filter(category=event.category, name=event.name).first()
        return {"event": event, "json": json_html(event.data), "type": type}


def _export(filters: ExplorerFilters) -> str:
    """Return the filters as the REST API accepts them: with two timestamps, because it has no presets."""
    if not filters.time_range.preset:
        return filters.as_query()
    start = filters.time_range.start
    return filters.as_query(**({"from": utc_text(start)} if start else {"range": None}))


def _summary(data: Any) -> str:
    """Return an event's data as one short line for the table."""
    if isinstance(data, dict):
        shown = ", ".join(
            f"{key}: {value if not isinstance(value, dict | list) else '…'}" for key, value in data.items()
        )
    else:
        shown = str(data)
    return Truncator(shown).chars(120)
