from chats.models.banner import Banner
from chats.models.broadcast import Broadcast, BroadcastNotAllowed
from chats.models.chat import Chat, Message
from chats.models.delivery import Chunk, Recipient, Step

__all__ = ["Banner", "Broadcast", "BroadcastNotAllowed", "Chat", "Chunk", "Message", "Recipient", "Step"]
