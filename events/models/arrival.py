"""How much more was accepted in a minute than happened in it."""

from __future__ import annotations

from django.db import models

from events.models.application import Application


class Arrival(models.Model):
    """The difference between the events of an application that were accepted in a minute and those that happened in it.

    Counts a minute (`Minute`) are by when events happened, rejected ones by when they came. A share of the two needs
    one clock: events + `more` are by when they came. Most minutes have no row, as events are sent at once.
    """

    minute = models.DateTimeField()
    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    more = models.BigIntegerField()  # negative where events happened that came later

    class Meta:
        default_permissions = ()
        constraints = [
            # Also how the list of applications reads: the last day of each.
            models.UniqueConstraint(fields=["minute", "application"], name="events_arrival_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.more:+}"
