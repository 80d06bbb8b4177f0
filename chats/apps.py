from django.apps import AppConfig

from live import topics


class ChatsConfig(AppConfig):
    """One chat a user; banners and broadcasts into all of them."""

    name = "chats"

    def ready(self) -> None:
        topics.register("broadcasts", "chats.view_broadcast")
        topics.register("broadcast", "chats.view_broadcast")
