"""What happened: events, and what was sent as an event and is none.

Both get their ids from the batch they came in, not from a sequence: batch × BATCH_ROWS + place. So a batch is a range
of ids, which the digest reads with one look at an index, and an event's batch is known from its id.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events.models.application import Application
from events.validation.errors import MAX_TEXT_LENGTH

BATCH_ROWS = 4096  # the most rows of each of the two kinds in one batch


class Event(models.Model):
    """One event, as its application told it. Never changed by Opsroom itself.

    The table is partitioned by month of `timestamp` (events/storage/partitions.py), so every unique index holds the
    timestamp, and the primary key is (id, timestamp) in the database. Django knows `id` alone, which is unique by how
    it is made.
    """

    id = models.BigIntegerField(primary_key=True)
    application = models.ForeignKey(Application, models.PROTECT, related_name="events", db_index=False)
    event_id = models.UUIDField("event id")
    session_id = models.CharField("session", max_length=MAX_TEXT_LENGTH)
    category = models.CharField(max_length=MAX_TEXT_LENGTH)
    name = models.CharField(max_length=MAX_TEXT_LENGTH)
    data = models.JSONField()
    timestamp = models.DateTimeField("happened")
    received_at = models.DateTimeField("received", db_default=Now(), editable=False)

    class Meta:
        ordering = ["-timestamp", "-id"]
        indexes = [
            # GET /events/?session=… and a session's timeline.
            models.Index(fields=["session_id", "timestamp", "id"], name="events_event_session"),
            # GET /events/?category=…&from=…&to=…, newest first.
            models.Index(fields=["category", "timestamp", "id"], name="events_event_category"),
            # GET /events/, newest first; a time range alone.
            models.Index(fields=["timestamp", "id"], name="events_event_newest"),
        ]
        constraints = [
            # A retried event is found, not stored twice.
            models.UniqueConstraint(fields=["application", "event_id", "timestamp"], name="events_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.category} / {self.name}"


class RejectedEvent(models.Model):
    """Something that was sent as an event and is none: its bytes as they came, and every reason why.

    `category` and `name` as far as they could be read; `code` and `pointer` are those of the first reason, by which
    the admin groups. It is deleted by the transaction that stores it as an event after all.
    """

    id = models.BigIntegerField(primary_key=True)
    application = models.ForeignKey(Application, models.PROTECT, related_name="rejected_events", db_index=False)
    event_id = models.UUIDField("event id", null=True)
    category = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True, default="")
    name = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True, default="")
    code = models.CharField("reason", max_length=50)
    pointer = models.CharField("place", max_length=300, blank=True, default="")  # a JSON pointer, RFC 6901
    reasons = models.JSONField()  # [{code, pointer, message}, …], at least one
    raw = models.BinaryField()
    raw_hash = models.CharField(max_length=64, editable=False)  # SHA-256 of raw, hex
    received_at = models.DateTimeField("received", db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "delete")
        permissions = [("replay_rejectedevent", "Can replay rejected events")]
        indexes = [
            # The groups of the admin, and one group's rows, newest first.
            models.Index(
                fields=["application", "category", "name", "code", "pointer", "received_at"],
                name="events_rejectedevent_group",
            ),
            # The groups of the last days.
            models.Index(fields=["received_at"], name="events_rejectedevent_recent"),
        ]
        constraints = [
            # A client that retries what was rejected is told the same, and nothing is kept twice. The same bytes
            # without an id may be two events.
            models.UniqueConstraint(
                fields=["application", "event_id", "raw_hash"],
                condition=Q(event_id__isnull=False),
                name="events_rejectedevent_once",
            ),
            models.CheckConstraint(condition=~Q(code=""), name="events_rejectedevent_why"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.pointer}".strip()
