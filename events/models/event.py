"""Events, and rejected events: items that were sent as events but are not valid.

Ids of both do not come from a sequence but from the batch that stored them: batch id × BATCH_ROWS + place in the batch.
So a batch is a range of ids, which the digest reads with one index scan, and the batch of an event follows from its id.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events.models.application import Application
from events.validation.errors import MAX_TEXT_LENGTH

BATCH_ROWS = 4096  # maximum number of events, and also of rejected events, in one batch


class Event(models.Model):
    """One event, as its application sent it. Opsroom never changes it by itself.

    The table is partitioned by month of `timestamp` (events/storage/partitions.py). Every unique index must therefore
    contain the timestamp, and the primary key in the database is (id, timestamp). For Django the primary key is `id`
    alone, which is unique because of how it is computed.
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
            # An event that is sent again is recognised as a duplicate and not stored twice.
            models.UniqueConstraint(fields=["application", "event_id", "timestamp"], name="events_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.category} / {self.name}"


class RejectedEvent(models.Model):
    """An item that was sent as an event but is not valid: its bytes as received, and its validation errors.

    `category` and `name` are filled as far as they could be read. `code` and `pointer` are those of the first reason;
    the admin groups by them. When a replay accepts the event, the transaction that stores it deletes this row.
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
            # The groups in the admin, and the rows of one group, newest first.
            models.Index(
                fields=["application", "category", "name", "code", "pointer", "received_at"],
                name="events_rejectedevent_group",
            ),
            # The groups of the last few days.
            models.Index(fields=["received_at"], name="events_rejectedevent_recent"),
        ]
        constraints = [
            # A client that sends a rejected event again gets the same response, and the event is kept once. Equal bytes
            # without an id may be two different events.
            models.UniqueConstraint(
                fields=["application", "event_id", "raw_hash"],
                condition=Q(event_id__isnull=False),
                name="events_rejectedevent_once",
            ),
            models.CheckConstraint(condition=~Q(code=""), name="events_rejectedevent_why"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.pointer}".strip()
