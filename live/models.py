from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class OutboxMessage(models.Model):
    """The outbox: one message for all watchers of `topic`, written in the transaction of the change that it reports.

    `seq` is assigned after the commit, see live/numbering.py; no client sees the message before.
    """

    seq = models.BigIntegerField(null=True, editable=False)
    topic = models.CharField(max_length=100)
    type = models.CharField(max_length=60)
    # JSON as text: it is relayed unchanged and never queried. Unlike jsonb it can contain a NUL.
    data = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "live_event"
        default_permissions = ()  # messages are never edited; topics.py declares who may see them
        indexes = [
            # A client that reconnects: which messages of these topics were missed?
            models.Index(fields=["topic", "seq"], name="live_event_topic_seq"),
            # The hubs, every second and at every hint: does a message wait for its number?
            models.Index(fields=["id"], condition=Q(seq__isnull=True), name="live_event_unnumbered"),
        ]
        constraints = [models.UniqueConstraint(fields=["seq"], name="live_event_seq_unique")]

    def __str__(self) -> str:
        return f"{self.seq} {self.topic} {self.type}"


class Position(models.Model):
    """The single row with the last assigned number, and the number up to which messages may have been deleted."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    forgotten = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="live_position_only_one"),
            models.CheckConstraint(condition=Q(forgotten__lte=F("seq")), name="live_position_forgotten"),
        ]

    def __str__(self) -> str:
        return str(self.seq)
