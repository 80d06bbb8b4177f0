"""Replays: validating rejected events again after a schema or a setting has changed."""

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
    """A selection of rejected events to validate again, and the results so far, which are exact after every batch.

    `selection` has the shape that events/rejected/selection.py defines: `ids`, or any of `application`, `category`,
    `name`, `code`, `pointer`. Only ids up to `last_id` take part, so a replay ends no matter how fast new events are
    rejected. `cursor` is the highest id that has been validated again. A worker claims the replay by locking its row.
    It needs no lease, and leaves nothing to clean up after a crash.
    """

    selection = models.JSONField(editable=False)
    last_id = models.BigIntegerField(editable=False)
    cursor = models.BigIntegerField(default=0, editable=False)
    total = models.PositiveBigIntegerField(editable=False)  # number of selected events when it was created
    accepted = models.PositiveBigIntegerField(default=0, editable=False)
    duplicates = models.PositiveBigIntegerField(default=0, editable=False)  # the event was already stored
    still_rejected = models.PositiveBigIntegerField(default=0, editable=False)
    # Deleted, or accepted by another replay, after this replay was created.
    gone = models.PositiveBigIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    finished_at = models.DateTimeField("finished", null=True, editable=False)

    objects = ReplayQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()  # the permission to replay rejected events includes viewing replays
        indexes = [
            # The sweep's query every few seconds: the unfinished replays.
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
        """The progress in percent, 0 to 100. It is 100 only after the replay has finished."""
        if self.finished_at is not None:
            return 100
        return min(self.done * 100 // self.total, 99) if self.total else 0
