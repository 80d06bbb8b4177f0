"""Daily sums of an application's rejected events, for its quota (events/ingest/quota.py)."""

from __future__ import annotations

from django.db import models

from events.models.application import Application


class RejectedDay(models.Model):
    """The bytes of rejected events that were kept on a day, and the number of events beyond the quota, not kept."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="rejected_days", db_index=False)
    day = models.DateField()  # UTC
    bytes = models.BigIntegerField(default=0)
    left_out = models.BigIntegerField(default=0)  # events

    class Meta:
        default_permissions = ()
        constraints = [
            # Its index also serves the ingest, which reads the day's sums and adds to them.
            models.UniqueConstraint(fields=["day", "application"], name="events_rejectedday_once"),
        ]

    def __str__(self) -> str:
        return f"{self.application}, {self.day}"
