"""What the digest works through, and what it makes: sessions and counts a minute."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from events.models.application import Application
from events.validation.errors import MAX_TEXT_LENGTH


class Batch(models.Model):
    """One commit of the ingest that the digest has not counted yet.

    Written by the transaction that stores the events, deleted by the one that counts them: an event is counted if its
    batch is gone, and that is what makes it count once. Its events have the ids from id × BATCH_ROWS on, and lie
    between the two timestamps; its rejected events have the same ids in their table.
    """

    id = models.BigAutoField(primary_key=True)
    events = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    first_timestamp = models.DateTimeField(null=True)  # of its events: which partitions to read
    last_timestamp = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(events=0, first_timestamp=None, last_timestamp=None)
                | Q(events__gt=0, first_timestamp__lte=F("last_timestamp")),
                name="events_batch_span",
            ),
        ]

    def __str__(self) -> str:
        return f"Batch {self.pk}"


class Session(models.Model):
    """What one visitor did, across all applications that name the same session."""

    session_id = models.CharField("session", max_length=MAX_TEXT_LENGTH, primary_key=True)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    event_count = models.PositiveIntegerField("events")

    class Meta:
        ordering = ["-last_seen", "session_id"]
        default_permissions = ("view",)
        indexes = [
            # GET /sessions/, newest first.
            models.Index(fields=["-last_seen", "session_id"], name="events_session_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(first_seen__lte=F("last_seen")), name="events_session_span"),
        ]

    def __str__(self) -> str:
        return self.session_id


class Minute(models.Model):
    """Number of events of a kind in a minute: events by when they happened, rejected ones by when they came."""

    minute = models.DateTimeField()
    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    category = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    name = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    events = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        indexes = [
            # Where a name's events lie, or an application's: the events' own table has no index for either.
            models.Index(fields=["name", "minute"], name="events_minute_name"),
            models.Index(fields=["application", "minute"], name="events_minute_application"),
        ]
        constraints = [
            # Also how charts read: a range of minutes, all or some kinds.
            models.UniqueConstraint(fields=["minute", "application", "category", "name"], name="events_minute_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.category} / {self.name}"
