"""What the command palette (Ctrl+K) finds beside the pages: a chat, by how its UUID begins."""

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from chats.models import Chat

SHORTEST = 4  # digits: fewer fit too many chats to mean one
MOST = 5


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """The theme's callback: the chats that `term` may mean, for those who may see chats."""
    if len(term.replace("-", "").strip()) < SHORTEST or not request.user.has_perm("chats.view_chat"):
        return []
    found = Chat.objects.matching(term).order_by("user_uuid")[:MOST]
    return [
        SearchResult(
            title=str(chat.user_uuid),
            description="Chat",
            link=reverse("admin:chats_chat_change", args=[chat.pk]),
            icon="forum",
        )
        for chat in found
    ]
