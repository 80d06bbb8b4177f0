"""Event types: a JSON Schema for the payloads of each pair of category and name."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords


def anything() -> dict[str, Any]:
    """Return the schema of a new event type, which accepts any object."""
    return {"type": "object"}


class EventType(models.Model):
    """An event type. `schema` is the current schema. Publishing changes it together with `version`."""

    category = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True, default="", max_length=2000)
    schema = models.JSONField(default=anything)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    updated_at = models.DateTimeField("updated", auto_now=True)

    history = HistoricalRecords(excluded_fields=["schema"])  # SchemaVersion keeps the history of the schema

    class Meta:
        ordering = ["category", "name"]
        constraints = [
            models.UniqueConstraint(fields=["category", "name"], name="events_eventtype_once"),
            models.CheckConstraint(condition=~Q(category="") & ~Q(name=""), name="events_eventtype_named"),
        ]

    def __str__(self) -> str:
        return f"{self.category} / {self.name}"


class SchemaVersion(models.Model):
    """One published version of an event type's schema. The newest is the current one."""

    event_type = models.ForeignKey(EventType, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    schema = models.JSONField()
    note = models.CharField(max_length=200, blank=True, default="")
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    published_at = models.DateTimeField("published", db_default=Now(), editable=False)

    class Meta:
        ordering = ["-number"]
        default_permissions = ("view",)
        constraints = [
            # Its index also serves the list of a type's versions.
            models.UniqueConstraint(fields=["event_type", "number"], name="events_schemaversion_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type}, version {self.number}"
