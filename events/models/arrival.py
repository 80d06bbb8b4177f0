"""Per-minute corrections between two counts of events: by time of receipt and by their own timestamp."""

from __future__ import annotations

from django.db import models

from events.models.application import Application


class Arrival(models.Model):
    """The number of an application's events that were received in a minute, minus those that happened in it.

    The per-minute counts (`Minute`) file events under their own timestamp, but rejected events under their time of
    receipt. A rejection rate needs both by the same clock: `Minute.events` + `more` is the number of events received in
    the minute. Most minutes have no row, because most events are received in the minute in which they happened.
    """

    minute = models.DateTimeField()
    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    more = models.BigIntegerField()  # negative if events of this minute were received in a later one

    class Meta:
        default_permissions = ()
        constraints = [
            # Its index also serves the list of applications, which reads the last day.
            models.UniqueConstraint(fields=["minute", "application"], name="events_arrival_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.more:+}"
