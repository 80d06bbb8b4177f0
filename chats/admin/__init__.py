from chats.admin import banners, broadcasts  # noqa: F401
from chats.admin import chats  # noqa: F401
