"""Tombstones: the unique keys of events that were deleted or moved to another time."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events.models.application import Application


class EventTombstone(models.Model):
    """The unique key of an event that was deleted or moved to another time: see events/storage/tombstones.py."""

    class Reason(models.TextChoices):
        ERASED = "erased"
        MOVED = "moved"

    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    event_id = models.UUIDField()
    timestamp = models.DateTimeField()
    reason = models.CharField(max_length=6, choices=Reason)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        indexes = [
            # The digest reads the tombstones of the last hour.
            models.Index(fields=["created_at"], name="events_eventtombstone_recent"),
            # The retention deletes the oldest.
            models.Index(fields=["timestamp"], name="events_eventtombstone_oldest"),
        ]
        constraints = [
            # The ingest looks up the key of an event that is sent again.
            models.UniqueConstraint(fields=["application", "event_id", "timestamp"], name="events_eventtombstone_once"),
            models.CheckConstraint(condition=Q(reason__in=["erased", "moved"]), name="events_eventtombstone_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} {self.reason}"
