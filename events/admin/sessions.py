"""The list of sessions, newest first, and the page of one session with its events in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from core.templatetags.opsroom import when
from events.admin.explorer_filters import text
from events.admin.widgets.formatting import duration
from events.admin.widgets.json_html import json_html
from events.admin.widgets.page_admin import ReadOnlyPageAdmin
from events.admin.widgets.pagination import page_at
from events.models import Event, Session
from events.query.time_slices import TimeSlices
from events.session_address import id_in, page_of

PAGE = 200
MAX_TYPES = 50  # offered as filters
MAX_COUNTED = 20_000  # events that are counted by type; a longer session is not a visitor but a program


@dataclass(frozen=True)
class TimelineEntry:
    """One event, and the time since the event displayed before it."""

    event: Event
    since: timedelta | None
    json: SafeString

    @property
    def pause(self) -> str:
        return duration(self.since) if self.since is not None else ""

    @property
    def is_long(self) -> bool:
        return self.since is not None and self.since >= timedelta(minutes=5)


class SessionList(ChangeList):
    def url_for_result(self, result: Any) -> str:
        return page_of(result.session_id)


@admin.register(Session)
class SessionAdmin(ReadOnlyPageAdmin, ModelAdmin):
    """The admin of sessions, read-only. The digest creates them."""

    list_display = ["id_link", "first_event", "last_event", "duration_text", "event_count"]
    list_per_page = 50
    show_full_result_count = False
    paginator = InfinitePaginator
    sortable_by = ()
    search_fields = ["session_id"]
    search_help_text = "Session id, or its beginning"
    change_list_template = "events/session_list.html"

    def has_delete_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    # --- The list -------------------------------------------------------------------------------
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        """Search by prefix of the id with the primary key's index; the default would scan the table."""
        term = search_term.strip().replace("\x00", "")[:100]
        return (queryset.filter(session_id__startswith=term) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Sessions", **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionList

    @display(description="Session")
    def id_link(self, session: Session) -> str:
        return format_html('<span class="mono">{}</span>', session.session_id)

    @display(description="First event")
    def first_event(self, session: Session) -> str:
        return when(session.first_seen)

    @display(description="Last event")
    def last_event(self, session: Session) -> str:
        return when(session.last_seen, "ago")

    @display(description="Lasted")
    def duration_text(self, session: Session) -> str:
        return duration(session.last_seen - session.first_seen)

    @display(description="Events")
    def event_count(self, session: Session) -> str:
        return format_html('<span class="number">{}</span>', f"{session.event_count:,}")

    # --- One session ----------------------------------------------------------------------------
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the session, and its events in order if the user may view events.

        A session whose events the digest has not counted yet also has a page.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        session_id = id_in(object_id).replace("\x00", "")[:100]
        session = Session.objects.filter(session_id=session_id).first()
        may_see = request.user.has_perm("events.view_event")
        events = Event.objects.filter(session_id=session_id) if may_see else Event.objects.none()
        if session is None and not events.exists():
            raise Http404("This session does not exist, or was deleted.")
        context = {
            **self.admin_site.each_context(request),
            **_timeline(request, events, session.event_count if session else 0),
            "title": session_id,
            "opts": self.opts,
            "may_see": may_see,
            "session": session,
            "session_id": session_id,
            "duration_text": duration(session.last_seen - session.first_seen) if session else "",
            "address": reverse("admin:events_session_change", args=[object_id]),
        }
        template = "events/session_timeline.html" if request.headers.get("HX-Request") else "events/session.html"
        return render(request, template, context)


def _timeline(request: HttpRequest, events: QuerySet[Event], counted: int) -> dict[str, Any]:
    category, name = text(request.GET, "category"), text(request.GET, "name")
    shown = events.filter(category=category, name=name) if category else events
    page = page_at(request, shown.select_related("application"), ("timestamp", "id"), PAGE, TimeSlices().first_rows)
    before = page.place[0] if page.place else None
    return {
        "types": _types(events) if counted <= MAX_COUNTED else [],
        "category": category,
        "name": name,
        "entries": _entries(page.rows, before),
        "page": page,
    }


def _types(events: QuerySet[Event]) -> list[tuple[str, str, int]]:
    found = events.order_by().values_list("category", "name").annotate(count=Count("pk"))
    return list(found.order_by("-count", "category", "name")[:MAX_TYPES])


def _entries(events: list[Event], before: datetime | None) -> list[TimelineEntry]:
    """Pair each event with the pause before it. `before` is the time of the last event of the previous page."""
    entries = []
    for event in events:
        entries.append(TimelineEntry(event, event.timestamp - before if before else None, json_html(event.data)))
        before = event.timestamp
    return entries
