from django.apps import AppConfig


class ChatsConfig(AppConfig):
    """One chat a user; banners and broadcasts into all of them."""

    name = "chats"
