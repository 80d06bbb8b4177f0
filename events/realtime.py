"""Payloads of the live messages on the topics `events` and `notifications`. docs/api.md describes their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from live.publish import publish, publish_many

TOPIC = "events"
MAX_GROUPS = 20  # groups of rejected events that one digest publishes; the pages themselves count every group
_GROUP = ("application", "application_name", "category", "name", "code", "pointer", "count")


def digested(events: int, rejected: int, groups: Sequence[tuple[Any, ...]]) -> None:
    """Publish how many events and rejected events one digest transaction has counted, and the rejected groups.

    Each of `groups` is a tuple of the values that `_GROUP` names.
    """
    publish_many(
        [
            (TOPIC, "events.digested", {"events": events, "rejected": rejected}),
            *((TOPIC, "event.rejected", dict(zip(_GROUP, group, strict=True))) for group in groups),
        ]
    )


def replayed(replay: Any) -> None:
    """Publish the progress of a replay: the current values of its row."""
    names = ("id", "total", "accepted", "duplicates", "still_rejected", "gone", "finished_at")
    publish(TOPIC, "replay.updated", {name: getattr(replay, name) for name in names})


def notification_updated(notification: Any) -> None:
    """Publish the state of a notification: the current values of its row."""
    names = ("event_id", "user_id", "status", "attempts", "error", "processed_at")
    publish("notifications", "notification.updated", {name: getattr(notification, name) for name in names})
