from django.apps import AppConfig


class LiveConfig(AppConfig):
    """Who hears of a commit: people and workers."""

    name = "live"

    def ready(self) -> None:
        from live import converters  # noqa: F401  registers any_uuid before any module of addresses is loaded
