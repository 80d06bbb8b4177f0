from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.http.url_policy import origin
from live import topics


class ChatsConfig(AppConfig):
    """App config: one chat per user, and banners and broadcasts that go to all chats."""

    name = "chats"

    def ready(self) -> None:
        topics.register("broadcasts", "chats.view_broadcast")
        topics.register("broadcast", "chats.view_broadcast")
        topics.register("chat", "chats.view_message")
        for trusted in settings.BANNER_TRUSTED_ORIGINS:
            try:
                origin(trusted)
            except ValueError as error:
                raise ImproperlyConfigured(
                    f"BANNER_TRUSTED_ORIGINS: {trusted} is not of the form scheme://host:port."
                ) from error
