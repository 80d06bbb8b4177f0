from django.apps import AppConfig


class LiveConfig(AppConfig):
    """Live messages: an outbox, and a hub that sends them to WebSockets."""

    name = "live"
