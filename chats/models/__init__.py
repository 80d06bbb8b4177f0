from chats.models.audience import ALL_CHATS, Audience, ListedUsers
from chats.models.banner import Banner
from chats.models.broadcast import Broadcast, BroadcastNotAllowed
from chats.models.chat import Chat, Message
from chats.models.delivery import Chunk, Recipient, Step

__all__ = [
    "ALL_CHATS", "Audience", "Banner", "Broadcast", "BroadcastNotAllowed", "Chat", "Chunk", "ListedUsers", "Message",
    "Recipient", "Step",
]  # fmt: skip
