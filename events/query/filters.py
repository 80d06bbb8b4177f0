"""Query parameters of the lists of events, event types, sessions and rejected events."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from events.models import Application, Event, EventType, RejectedEvent, Session
from events.query.time_slices import TimeSlices


def _application() -> filters.NumberFilter:
    return filters.NumberFilter(
        "application_id", min_value=1, max_value=2**63 - 1, decimal_places=0, label="The application's id."
    )


def _text(field: str, words: str) -> filters.CharFilter:
    return filters.CharFilter(field, strip=False, label=words)


def _time(field: str, lookup: str, words: str) -> filters.IsoDateTimeFilter:
    return filters.IsoDateTimeFilter(
        field, lookup, label=f"{words}; in TIME_ZONE (UTC by default) where no zone is given."
    )


class EventFilter(filters.FilterSet):
    session = _text("session_id", "Of this session.")
    category = _text("category", "Of this category.")
    name = _text("name", "Of this name.")
    application = _application()
    event_id = filters.UUIDFilter(method="by_event_id", label="The event id, as its application sent it.")
    vars()["from"] = _time("timestamp", "gte", "Happened then or later")  # `from` is a Python keyword
    to = _time("timestamp", "lt", "Happened before")

    class Meta:
        model = Event
        fields: list[str] = []

    def time_slices(self) -> TimeSlices:
        """Return the filters that have no index, for a search by time slices. Call it only on a valid filter set.

        The result is empty if a session or an event id is given: these have an index of their own.
        """
        asked = self.form.cleaned_data
        if asked["session"] or asked["event_id"]:
            return TimeSlices()
        application = int(asked["application"]) if asked["application"] else None
        return TimeSlices(application, asked["category"], asked["name"], asked["from"], asked["to"])

    def by_event_id(self, events: QuerySet[Event], name: str, value: Any) -> QuerySet[Event]:
        # The index on event ids begins with the application, so the query names all applications.
        applications = list(Application.objects.values_list("pk", flat=True))
        return events.filter(application_id__in=applications, event_id=value)


class EventTypeFilter(filters.FilterSet):
    category = _text("category", "Of this category.")
    name = _text("name", "Of this name.")

    class Meta:
        model = EventType
        fields: list[str] = []


class SessionFilter(filters.FilterSet):
    vars()["from"] = _time("last_seen", "gte", "Last seen then or later")
    to = _time("first_seen", "lt", "First seen before")

    class Meta:
        model = Session
        fields: list[str] = []


class RejectedEventFilter(filters.FilterSet):
    application = _application()
    category = _text("category", "Of this category, if it was readable.")
    name = _text("name", "Of this name, if it was readable.")
    code = _text("code", "The first reason.")
    pointer = _text("pointer", "The place of the first reason: a JSON pointer with * for list indexes and open names.")
    event_id = filters.UUIDFilter("event_id", label="The event id that the response named.")
    vars()["from"] = _time("received_at", "gte", "Received then or later")
    to = _time("received_at", "lt", "Received before")

    class Meta:
        model = RejectedEvent
        fields: list[str] = []
