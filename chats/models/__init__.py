from chats.models.banner import Banner
from chats.models.broadcast import Broadcast, NotAllowed
from chats.models.chat import Chat, Message
from chats.models.delivery import Chunk, Recipient, Step

__all__ = ["Banner", "Broadcast", "Chat", "Chunk", "Message", "NotAllowed", "Recipient", "Step"]
