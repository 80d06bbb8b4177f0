from chats.admin import (  # noqa: F401
    banners,
    broadcasts,
    chats,
)
