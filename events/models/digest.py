"""Models of the digest: the batches that it reads, and the sessions and per-minute counts (rollups) that it writes."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from events.models.application import Application
from events.validation.errors import MAX_TEXT_LENGTH


class Batch(models.Model):
    """One commit of the ingest that the digest has not counted yet.

    The transaction that stores the events writes the batch; the transaction that counts them deletes it. So an event
    has been counted exactly if its batch no longer exists, and no event is counted twice. Ids of the batch's events
    begin at id × BATCH_ROWS, and their timestamps lie between `first_timestamp` and `last_timestamp`. Ids of its
    rejected events are from the same range, in their own table.
    """

    id = models.BigAutoField(primary_key=True)
    events = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    first_timestamp = models.DateTimeField(null=True)  # of its events; limits the partitions that the digest reads
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
    """The events of one visitor, from all applications that send the same session id."""

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
    """Per-minute count of the events and rejected events of one application, category and name.

    Events count in the minute of their timestamp, rejected events in the minute in which they were received.
    """

    minute = models.DateTimeField()
    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    category = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    name = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    events = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        indexes = [
            # events/query/time_slices.py looks up the minutes with events of a name or an application here, because
            # the table of events has no index on either.
            models.Index(fields=["name", "minute"], name="events_minute_name"),
            models.Index(fields=["application", "minute"], name="events_minute_application"),
        ]
        constraints = [
            # Its index also serves the charts: a range of minutes, optionally filtered.
            models.UniqueConstraint(fields=["minute", "application", "category", "name"], name="events_minute_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.category} / {self.name}"
