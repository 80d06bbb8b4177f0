"""Chats on the front page and in the command palette: broadcasts in progress, the last ones, and figures of a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import SearchResult

from chats.chat_count import count_chats
from chats.models import Broadcast, Chat, Chunk
from core.registry import LATER, MAX_SEARCH_RESULTS, SOON, Card

MAX_MOVING = 50  # broadcasts in progress
MIN_DIGITS = 4  # of a UUID: fewer match too many chats
_ORDER: list[str] = [
    Broadcast.Status.MISSED,
    Broadcast.Status.SENDING,
    Broadcast.Status.QUEUED,
    Broadcast.Status.PAUSED,
    Broadcast.Status.SCHEDULED,
]


def moving(request: HttpRequest) -> Card | None:
    """Broadcasts in progress."""
    if not request.user.has_perm("chats.view_broadcast"):
        return None
    found = list(Broadcast.objects.unfinished().select_related("created_by", "banner").order_by("-id")[:MAX_MOVING])
    found.sort(key=lambda broadcast: _ORDER.index(broadcast.status))
    some_move = any(broadcast.status in _ORDER[1:3] for broadcast in found)
    return Card("chats/cards/moving.html", {"broadcasts": found}, every=SOON if some_move else LATER)


def recent(request: HttpRequest) -> Card | None:
    """The last five broadcasts that ended, in any state."""
    if not request.user.has_perm("chats.view_broadcast"):
        return None
    ended = Broadcast.objects.filter(status__in=Broadcast.FINISHED).select_related("created_by", "banner")
    return Card("chats/cards/recent.html", {"broadcasts": ended.order_by("-id")[:5]})


def figures(request: HttpRequest) -> Card | None:
    """The number of chats, and what was delivered to them in the last 24 hours."""
    if not request.user.has_perm("chats.view_chat"):
        return None
    return Card("chats/cards/figures.html", {"chats": count_chats(), **_last_day()})


def _last_day() -> dict[str, int]:
    """Count by the chunks of recent broadcasts: some hundred rows, while messages may be millions."""
    since = timezone.now() - timedelta(hours=24)
    recently = Broadcast.objects.filter(Q(finished_at=None) | Q(finished_at__gte=since))
    chunks = Chunk.objects.filter(broadcast__in=recently, done_at__gte=since)
    summed = chunks.aggregate(delivered=Sum("delivered"), skipped=Sum("skipped"))
    return {
        "delivered": summed["delivered"] or 0,
        "sent": recently.filter(status=Broadcast.Status.SENT).count(),
        "failed": recently.filter(status=Broadcast.Status.FAILED).count(),
    }


def search(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find chats by the beginning of their UUID."""
    if len(term.replace("-", "")) < MIN_DIGITS or not request.user.has_perm("chats.view_chat"):
        return
    for chat in Chat.objects.matching(term).order_by("user_uuid")[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:chats_chat_change", args=[chat.pk])
        yield SearchResult(title=str(chat.user_uuid), description="Chat", link=page, icon="forum")
