"""The event explorer: filters in the URL, a chart of the range, events newest first, and one event beside them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin

from core.admin.deletion import DeletionAdmin
from core.sorting import by_name
from events import services
from events.admin.explorer_filters import Which
from events.admin.time_range import PRESETS, written
from events.admin.widgets.chart import chart_of
from events.admin.widgets.formatting import lateness
from events.admin.widgets.json_html import pretty
from events.admin.widgets.pagination import page_at
from events.admin.widgets.snippets import snippets
from events.models import Application, Event, EventType

PAGE = 50
MAX_EVENT_TYPES = 500  # offered as suggestions while typing


@admin.register(Event)
class EventAdmin(DeletionAdmin, ModelAdmin):
    """The admin of events: view and delete. Only the REST API changes events."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Event) -> None:
        """Delete by the service, which updates sessions and counts. The admin has already logged the deletion."""
        services.delete_event(event=obj)

    def lock_for_deletion(self, pk: Any) -> Event | None:
        return services.lock_event(pk).first()

    def get_urls(self) -> list[URLPattern]:
        def page(view: Any) -> Any:
            return self.admin_site.admin_view(never_cache(require_safe(view)))

        return [
            path("live/", page(self.live), name="events_event_live"),
            path("<int:pk>/beside/", page(self.beside), name="events_event_beside"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        which = self._which(request)
        context = {
            **self.admin_site.each_context(request),
            **self._found(request, which),
            "title": "Explorer",
            "opts": self.opts,
            "presets": [(name, words, which.as_query(range=name)) for name, (words, _) in PRESETS.items()],
            "applications": Application.objects.only("name").order_by(by_name("name"), "name"),
            "types": EventType.objects.values_list("category", "name")[:MAX_EVENT_TYPES],
            "inputs": which.span.inputs(),
            "export": _export(which),
        }
        if not context["page"].rows and not Event.objects.exists():
            context["snippets"] = snippets(request)
        return render(request, "events/explorer.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the chart and the table."""
        return render(request, "events/explorer_found.html", self._found(request, self._which(request)))

    def beside(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with one event."""
        return render(request, "events/event.html", self._one(request, str(pk)))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one event on its own page."""
        context = self._one(request, object_id)
        frame = {**self.admin_site.each_context(request), "title": str(context["event"]), "opts": self.opts}
        return render(request, "events/event_page.html", {**frame, **context, "original": context["event"]})

    def _which(self, request: HttpRequest) -> Which:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return Which.of(request.GET)

    def _found(self, request: HttpRequest, which: Which) -> dict[str, Any]:
        events = which.events().select_related("application")
        page = page_at(request, events, ("-timestamp", "-id"), PAGE, which.time_slices().first_rows)
        return {
            "which": which,
            "chart": chart_of(which),
            "page": page,
            "rows": [(event, _summary(event.data)) for event in page.rows],
            "late": lateness(),
            "is_first": page.place is None,
            "query": which.as_query(),
            "wider": which.as_query(range="all"),
            "live": f"{reverse('admin:events_event_live')}?{request.GET.urlencode()}",
        }

    def _one(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not object_id.isdecimal() or len(object_id) > 18:
            raise Http404
        event = Event.objects.select_related("application").filter(pk=object_id).first()
        if event is None:
            raise Http404("This event does not exist, or was deleted.")
        type = EventType.objects.filter(category=event.category, name=event.name).first()
        return {"event": event, "json": pretty(event.data), "type": type}


def _export(which: Which) -> str:
    """Return the filters as the REST API accepts them: with two timestamps, because it has no presets."""
    start = {"from": written(which.span.start)} if which.span.preset and which.span.start else {}
    return which.as_query(**start) if start else which.as_query(range=None) if which.span.preset else which.as_query()


def _summary(data: Any) -> str:
    """Return an event's data as one short line for the table."""
    if isinstance(data, dict):
        shown = ", ".join(
            f"{key}: {value if not isinstance(value, dict | list) else '…'}" for key, value in data.items()
        )
    else:
        shown = str(data)
    return Truncator(shown).chars(120)
