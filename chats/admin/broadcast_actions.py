"""The actions on a broadcast's page: when each is available, its consequence in numbers, and the service it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chats import services
from chats.models import Broadcast

Status = Broadcast.Status


@dataclass(frozen=True)
class BroadcastAction:
    """A button of the page. The confirmation shows `consequence`; the page shows `done` afterwards.

    `firmly` is the label of the confirmation's button, where `label` alone could be misunderstood. `leaves_page` is
    False if the broadcast has no page after the action.
    """

    name: str
    label: str
    icon: str
    fits: Callable[[Broadcast], bool]
    consequence: Callable[[Broadcast], str]
    done: str
    do: Callable[[Broadcast, Any], None]
    is_dangerous: bool = False
    firmly: str = ""
    leaves_page: bool = True


def verbs_for(broadcast: Broadcast) -> list[BroadcastAction]:
    """Return the actions available in the broadcast's current state, in the order of the buttons."""
    return [verb for verb in VERBS.values() if verb.fits(broadcast)]


def chats(number: int) -> str:
    return f"{number:,} chat" if number == 1 else f"{number:,} chats"


def _left(broadcast: Broadcast) -> int:
    return (broadcast.audience_size or 0) - broadcast.delivered - broadcast.skipped


def _pausing(broadcast: Broadcast) -> str:
    if broadcast.audience_size is None:
        return "Nothing has been sent yet, and nothing will be until you resume it."
    return (
        f"It stops at the next step: {chats(broadcast.delivered)} already have it, "
        f"about {_left(broadcast):,} wait until you resume it."
    )


def _resuming(broadcast: Broadcast) -> str:
    if broadcast.audience_size is None:
        return "It goes to its audience as if it had not been paused."
    return f"It continues with the {chats(_left(broadcast))} left. No chat gets it twice."


def _cancelling(broadcast: Broadcast) -> str:
    if broadcast.delivered == 0:
        banner = " Its banner is given back: it will be the next one again." if broadcast.banner_url else ""
        return f"It will not be sent.{banner} This cannot be undone."
    return (
        f"About {chats(_left(broadcast))} will not get it. The {broadcast.delivered:,} that have it keep it, "
        "until you retract it. This cannot be undone."
    )


def _retracting(broadcast: Broadcast) -> str:
    more = " It stays paused; what it sends after you resume stays hidden, too." if not broadcast.is_finished else ""
    return f"Hides it from {chats(broadcast.delivered)} at once. You can undo this.{more}"


def _retrying(broadcast: Broadcast) -> str:
    if broadcast.banner_url:
        return "Downloads the same banner again and, if that works, sends it to all chats."
    return "Sends it to its audience from the beginning. It has not been sent to any chat yet."


def _deleting(broadcast: Broadcast) -> str:
    listed = "" if broadcast.listed_size is None else f" Its list of {broadcast.listed_size:,} users is deleted, too."
    return f"It has not been sent to any chat.{listed} This cannot be undone."


_MAY_BE_HIDDEN = [Status.PAUSED, Status.SENT, Status.CANCELLED]
VERBS = {
    verb.name: verb
    for verb in (
        BroadcastAction(
            "resume", "Resume", "play_arrow",
            lambda broadcast: broadcast.status == Status.PAUSED,
            _resuming, "The broadcast goes on.",
            lambda broadcast, actor: services.resume(broadcast=broadcast, actor=actor),
        ),
        BroadcastAction(
            "send-now", "Send now", "send",
            lambda broadcast: broadcast.status == Status.MISSED,
            lambda broadcast: "Its time has passed. It goes to its audience now.", "The broadcast is on its way.",
            lambda broadcast, actor: services.resume(broadcast=broadcast, actor=actor),
        ),
        BroadcastAction(
            "pause", "Pause", "pause",
            lambda broadcast: broadcast.status in (Status.QUEUED, Status.SENDING),
            _pausing, "The broadcast is paused.",
            lambda broadcast, actor: broadcast.pause(actor),
        ),
        BroadcastAction(
            "retry", "Try again", "refresh",
            lambda broadcast: broadcast.status == Status.FAILED,
            _retrying, "The broadcast is tried again.",
            lambda broadcast, actor: services.retry(broadcast=broadcast, actor=actor),
        ),
        BroadcastAction(
            "restore", "Show again", "visibility",
            lambda broadcast: broadcast.retracted_at is not None,
            lambda broadcast: f"Shows it again in {chats(broadcast.delivered)}, as it was, read marks and all.",
            "Every chat shows the broadcast again.",
            lambda broadcast, actor: broadcast.restore(actor),
        ),
        BroadcastAction(
            "retract", "Retract", "visibility_off",
            lambda broadcast: bool(
                broadcast.delivered and not broadcast.retracted_at and broadcast.status in _MAY_BE_HIDDEN
            ),
            _retracting, "The broadcast is hidden from every chat.",
            lambda broadcast, actor: broadcast.retract(actor),
            is_dangerous=True,
        ),
        BroadcastAction(
            "cancel", "Cancel", "block",
            lambda broadcast: not broadcast.is_finished,
            _cancelling, "The broadcast is cancelled.",
            lambda broadcast, actor: broadcast.cancel(actor),
            is_dangerous=True, firmly="Cancel the broadcast",
        ),
        BroadcastAction(
            "delete", "Delete", "delete",
            lambda broadcast: broadcast.is_deletable,
            _deleting, "The broadcast is deleted.",
            lambda broadcast, actor: services.delete_broadcast(broadcast=broadcast),
            is_dangerous=True, firmly="Delete the broadcast", leaves_page=False,
        ),
    )
}  # fmt: skip
