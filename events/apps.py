from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from live import topics


class EventsConfig(AppConfig):
    """Product events: ingest, rejected events, sessions, roll-ups; user notifications."""

    name = "events"

    def ready(self) -> None:
        topics.register("events", "events.view_event")
        topics.register("notifications", "events.view_notification")
        from events import metrics  # noqa: F401  registers what Prometheus asks for; needs the models

        post_migrate.connect(_make_partitions, self, dispatch_uid="events partitions")


def _make_partitions(**_: Any) -> None:
    """A database that was just migrated has room for this month's events, and does not wait for beat."""
    from events.storage import partitions

    if partitions.is_partitioned():
        partitions.ensure_ahead()
