from django.apps import AppConfig


class CoreConfig(AppConfig):
    """What every app needs and none owns."""

    name = "core"

    def ready(self) -> None:
        from core.rest import url_converters  # noqa: F401  registers any_uuid before any module of addresses is loaded
