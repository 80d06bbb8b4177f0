"""The actions on a broadcast's page: when each is available, what it confirms, and the service it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chats import services
from chats.models import Broadcast

Status = Broadcast.Status


@dataclass(frozen=True, kw_only=True)
class BroadcastAction:
    """A button of the page. The confirmation shows `confirm_text`; the page shows `success_text` afterwards.

    `confirm_label` is the label of the confirmation's button, where `label` alone could be misunderstood. `leaves_page`
    is False if the broadcast has no page after the action.
    """

    name: str
    label: str
    icon: str
    is_available: Callable[[Broadcast], bool]
    confirm_text: Callable[[Broadcast], str]
    success_text: str
    run: Callable[..., None]  # a service with `broadcast` and `actor`
    is_dangerous: bool = False
    confirm_label: str = ""
    leaves_page: bool = True


def actions_for(broadcast: Broadcast) -> list[BroadcastAction]:
    """Return the actions available in the broadcast's current state, in the order of the buttons."""
    return [action for action in ACTIONS.values() if action.is_available(broadcast)]


def chats(number: int) -> str:
    return f"{number:,} chat" if number == 1 else f"{number:,} chats"


def _left(broadcast: Broadcast) -> int:
    return (broadcast.audience_size or 0) - broadcast.delivered - broadcast.skipped


def _pausing(broadcast: Broadcast) -> str:
    if broadcast.audience_size is None:
        return "Nothing has been sent yet, and nothing will be until you resume it."
    return (
        f"It stops after the current chunk: {chats(broadcast.delivered)} already have it, "
        f"about {_left(broadcast):,} wait until you resume it."
    )


def _resuming(broadcast: Broadcast) -> str:
    if broadcast.audience_size is None:
        return "It goes to its audience as if it had not been paused."
    return f"It continues with the {chats(_left(broadcast))} left. No chat gets it twice."


def _cancelling(broadcast: Broadcast) -> str:
    if broadcast.delivered == 0:
        banner = " Its banner stays unsent and will be the next one again." if broadcast.banner_url else ""
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
    note = broadcast.kind.of(broadcast).deletion_note
    return " ".join(filter(None, ["It has not been sent to any chat.", note, "This cannot be undone."]))


def _delete(*, broadcast: Broadcast, actor: Any) -> None:
    services.delete_broadcast(broadcast=broadcast)


ACTIONS = {
    action.name: action
    for action in (
        BroadcastAction(
            name="resume", label="Resume", icon="play_arrow", run=services.resume,
            is_available=lambda broadcast: broadcast.status == Status.PAUSED,
            confirm_text=_resuming, success_text="The broadcast is resumed.",
        ),
        BroadcastAction(
            name="send-now", label="Send now", icon="send", run=services.resume,
            is_available=lambda broadcast: broadcast.status == Status.MISSED,
            confirm_text=lambda broadcast: "Its time has passed. It goes to its audience now.",
            success_text="The broadcast is queued.",
        ),
        BroadcastAction(
            name="pause", label="Pause", icon="pause", run=services.pause,
            is_available=lambda broadcast: broadcast.status in (Status.QUEUED, Status.SENDING),
            confirm_text=_pausing, success_text="The broadcast is paused.",
        ),
        BroadcastAction(
            name="retry", label="Try again", icon="refresh", run=services.retry,
            is_available=lambda broadcast: broadcast.status == Status.FAILED,
            confirm_text=_retrying, success_text="The broadcast is tried again.",
        ),
        BroadcastAction(
            name="restore", label="Show again", icon="visibility", run=services.restore,
            is_available=lambda broadcast: broadcast.retracted_at is not None,
            confirm_text=lambda broadcast: (
                f"Shows it again in {chats(broadcast.delivered)}, with its read marks."
            ),
            success_text="Every chat shows the broadcast again.",
        ),
        BroadcastAction(
            name="retract", label="Retract", icon="visibility_off", run=services.retract, is_dangerous=True,
            is_available=lambda broadcast: bool(
                broadcast.delivered and not broadcast.retracted_at and broadcast.status in Broadcast.RETRACTABLE
            ),
            confirm_text=_retracting, success_text="The broadcast is hidden from every chat.",
        ),
        BroadcastAction(
            name="cancel", label="Cancel", icon="block", run=services.cancel, is_dangerous=True,
            is_available=lambda broadcast: not broadcast.is_finished,
            confirm_text=_cancelling, confirm_label="Cancel the broadcast",
            success_text="The broadcast is cancelled.",
        ),
        BroadcastAction(
            name="delete", label="Delete", icon="delete", run=_delete, is_dangerous=True, leaves_page=False,
            is_available=lambda broadcast: broadcast.is_deletable,
            confirm_text=_deleting, confirm_label="Delete the broadcast",
            success_text="The broadcast is deleted.",
        ),
    )
}  # fmt: skip
