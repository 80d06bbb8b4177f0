from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Shared code that every app uses and that belongs to none of them."""

    name = "core"

    def ready(self) -> None:
        from core.rest import url_converters  # noqa: F401  registers any_uuid before any urls module is loaded
