from django.apps import AppConfig


class LiveConfig(AppConfig):
    """Who hears of a commit: people and workers."""

    name = "live"
