"""Records of a broadcast: its listed recipients, its ranges, and its timeline of steps."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from chats.models.broadcast import Broadcast


class Recipient(models.Model):
    """A listed user of a broadcast that is not for all chats."""

    broadcast = models.ForeignKey(Broadcast, models.CASCADE, related_name="recipients", db_index=False)
    user_uuid = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["broadcast", "user_uuid"], name="chats_recipient_once"),
        ]

    def __str__(self) -> str:
        return str(self.user_uuid)


class Chunk(models.Model):
    """A range of the frozen audience: ids of chats, or of recipients if the audience is a list.

    `size` is the number of members in the range. The row's lock is the claim: see chats/broadcasts/fanout.py.
    """

    broadcast = models.ForeignKey(Broadcast, models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    size = models.PositiveIntegerField()
    delivered = models.PositiveIntegerField(null=True)
    skipped = models.PositiveIntegerField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # Query of every worker before each chunk: what is the next range that is not done?
            models.Index(fields=["broadcast", "number"], condition=Q(done_at=None), name="chats_chunk_pending"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["broadcast", "number"], name="chats_chunk_number"),
            models.CheckConstraint(
                condition=Q(done_at__isnull=True, delivered__isnull=True, skipped__isnull=True)
                | Q(done_at__isnull=False, size=F("delivered") + F("skipped")),
                name="chats_chunk_all_accounted_for",
            ),
        ]

    def __str__(self) -> str:
        return f"chunk {self.number} of broadcast {self.broadcast_id}"


class Step(models.Model):
    """An entry of a broadcast's timeline: what happened, when, and which user did it.

    Without an actor, it was the system.
    """

    broadcast = models.ForeignKey(Broadcast, models.CASCADE, related_name="steps")
    verb = models.CharField(max_length=20)
    note = models.CharField(max_length=500, blank=True, default="")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.verb} at {self.at:%Y-%m-%d %H:%M:%S}"
