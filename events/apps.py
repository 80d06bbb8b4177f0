from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Product events: ingest, rejected events, sessions, roll-ups; user notifications."""

    name = "events"
