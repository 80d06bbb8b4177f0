"""What watchers of the topics `events` and `notifications` are told, built in one place: docs/api.md has the shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from live.publish import publish, publish_many

TOPIC = "events"
MAX_GROUPS = 20  # of rejected events that one digest tells of; the screens count all of them
_GROUP = ("application", "application_name", "category", "name", "code", "pointer", "count")


def digested(events: int, rejected: int, groups: Sequence[tuple[Any, ...]]) -> None:
    """Say that so many events and rejected ones were counted, and of which groups the rejected ones are."""
    publish_many(
        [
            (TOPIC, "events.digested", {"events": events, "rejected": rejected}),
            *((TOPIC, "event.rejected", dict(zip(_GROUP, group, strict=True))) for group in groups),
        ]
    )


def replayed(replay: Any) -> None:
    """Say how far a replay is; the row's values are the news."""
    names = ("id", "total", "accepted", "duplicates", "still_rejected", "gone", "finished_at")
    publish(TOPIC, "replay.updated", {name: getattr(replay, name) for name in names})


def notification_updated(notification: Any) -> None:
    """Say what has become of a notification; the row's values are the news."""
    names = ("event_id", "user_id", "status", "attempts", "error", "processed_at")
    publish("notifications", "notification.updated", {name: getattr(notification, name) for name in names})
