"""Events on the front page and in the command palette: events per minute over a day; what has a name."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.admin.utils import quote
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from core.registry import MAX_SEARCH_RESULTS, Card
from events.admin.explorer_filters import ExplorerFilters
from events.admin.widgets.chart import chart_of
from events.admin.widgets.formatting import digest_lag
from events.models import Application, EventType, Session

MIN_LETTERS = 2  # of a search


def last_day(request: HttpRequest) -> Card | None:
    """Events per minute over 24 hours, and the share of rejected ones."""
    if not request.user.has_perm("events.view_event"):
        return None
    chart = chart_of(ExplorerFilters.of({"range": "24h"}))
    a_minute = (chart.events + chart.rejected) / (24 * 60)
    return Card("events/cards/events.html", {"chart": chart, "a_minute": a_minute, "late": digest_lag()})


def search_applications(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find applications by their names: a few dozen rows, created by hand; the same for event types."""
    if len(term) < MIN_LETTERS or not request.user.has_perm("events.view_application"):
        return
    for application in Application.objects.filter(name__icontains=term)[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:events_application_change", args=[application.pk])
        yield SearchResult(title=application.name, description="Application", link=page, icon="key")


def search_event_types(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find event types by name or category."""
    if len(term) < MIN_LETTERS or not request.user.has_perm("events.view_eventtype"):
        return
    for kind in EventType.objects.filter(Q(name__icontains=term) | Q(category__icontains=term))[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:events_eventtype_change", args=[kind.pk])
        yield SearchResult(title=kind.name, description=f"Event type: {kind.category}", link=page, icon="schema")


def search_sessions(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find a session by its whole id."""
    if not request.user.has_perm("events.view_session"):
        return
    for session in Session.objects.filter(pk=term):
        page = reverse("admin:events_session_change", args=[quote(session.pk)])
        words = f"Session: {session.event_count:,} event{'' if session.event_count == 1 else 's'}"
        yield SearchResult(title=session.pk, description=words, link=page, icon="footprint")
