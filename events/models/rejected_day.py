"""How much of an application was rejected on a day."""

from __future__ import annotations

from django.db import models

from events.models.application import Application


class RejectedDay(models.Model):
    """The bytes of rejected events that were kept, and how many events were not kept because of them."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="rejected_days", db_index=False)
    day = models.DateField()  # UTC
    bytes = models.BigIntegerField(default=0)
    left_out = models.BigIntegerField(default=0)  # events

    class Meta:
        default_permissions = ()
        constraints = [
            # Also how the ingest reads and adds to the day.
            models.UniqueConstraint(fields=["day", "application"], name="events_rejectedday_once"),
        ]

    def __str__(self) -> str:
        return f"{self.application}, {self.day}"
