from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from live import topics


class EventsConfig(AppConfig):
    """Product events: ingest, rejected events, sessions and rollups. Also user notifications."""

    name = "events"

    def ready(self) -> None:
        topics.register("events", "events.view_event")
        topics.register("notifications", "events.view_notification")
        from events import metrics  # noqa: F401  registers the Prometheus metrics; needs the models

        post_migrate.connect(_make_partitions, self, dispatch_uid="events partitions")


def _make_partitions(**_: Any) -> None:
    """Create the partitions of this month and the next ones directly after a migration.

    Without this, a new database has no partition for this month until beat starts its first task.
    """
    from events.storage import partitions

    if partitions.is_partitioned():
        partitions.ensure_ahead()
