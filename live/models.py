from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class OutboxMessage(models.Model):
    """The outbox: one message for everybody who watches `topic`, written in the transaction of the change it tells of.

    `seq` is given after the commit, see live/numbering.py: until then nobody has seen the message.
    """

    seq = models.BigIntegerField(null=True, editable=False)
    topic = models.CharField(max_length=100)
    type = models.CharField(max_length=60)
    # JSON as text: relayed as it is and never asked for its parts. Unlike jsonb it can carry a NUL.
    data = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "live_event"
        default_permissions = ()  # nobody edits messages; who may see them, topics.py says
        indexes = [
            # A client that comes back: what did I miss on these topics?
            models.Index(fields=["topic", "seq"], name="live_event_topic_seq"),
            # The hubs, every second and at every hint: is anything waiting for its number?
            models.Index(fields=["id"], condition=Q(seq__isnull=True), name="live_event_unnumbered"),
        ]
        constraints = [models.UniqueConstraint(fields=["seq"], name="live_event_seq_unique")]

    def __str__(self) -> str:
        return f"{self.seq} {self.topic} {self.type}"


class Position(models.Model):
    """The one row that knows the last number given, and up to which number events may have been deleted."""

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
