from django.apps import AppConfig

from live import topics


class EventsConfig(AppConfig):
    """Product events: ingest, rejected events, sessions, roll-ups; user notifications."""

    name = "events"

    def ready(self) -> None:
        topics.register("events", "events.view_event")
