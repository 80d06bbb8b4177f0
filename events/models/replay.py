"""A replay: rejected events that are asked again, because a schema or a setting has changed since."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

_COUNTED = F("accepted") + F("duplicates") + F("still_rejected") + F("gone")


class ReplayQuerySet(models.QuerySet["Replay"]):
    def under_way(self) -> ReplayQuerySet:
        return self.filter(finished_at=None)


class Replay(models.Model):
    """Which rejected events are asked again, and what became of them so far; exact after every batch of them.

    `selection` is what events/rejected/selection.py makes of it: `ids`, or any of `application`, `category`, `name`,
    `code`, `pointer`. Ids up to `last_id` take part, so that a replay ends however fast new ones are rejected; `cursor`
    is the highest that has been asked. Whoever holds the row's lock works on it: there is no lease, and nothing to
    clean up.
    """

    selection = models.JSONField(editable=False)
    last_id = models.BigIntegerField(editable=False)
    cursor = models.BigIntegerField(default=0, editable=False)
    total = models.PositiveBigIntegerField(editable=False)  # how many there were when it began
    accepted = models.PositiveBigIntegerField(default=0, editable=False)
    duplicates = models.PositiveBigIntegerField(default=0, editable=False)  # were stored already
    still_rejected = models.PositiveBigIntegerField(default=0, editable=False)
    gone = models.PositiveBigIntegerField(default=0, editable=False)  # deleted, or replayed by another, meanwhile
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    finished_at = models.DateTimeField("finished", null=True, editable=False)

    objects = ReplayQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()  # whoever may replay may look
        indexes = [
            # The sweeper's question every few seconds: what is left to do?
            models.Index(fields=["id"], condition=Q(finished_at=None), name="events_replay_under_way"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(total=_COUNTED), name="events_replay_all_accounted_for"
            ),
        ]

    def __str__(self) -> str:
        return f"Replay {self.pk}"

    @property
    def done(self) -> int:
        return self.accepted + self.duplicates + self.still_rejected + self.gone

    @property
    def percent(self) -> int:
        """100 only if it has finished."""
        if self.finished_at is not None:
            return 100
        return min(self.done * 100 // self.total, 99) if self.total else 0
