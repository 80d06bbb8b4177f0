"""Topics that can be watched, and the permission for each. Apps register their topics in AppConfig.ready()."""

from __future__ import annotations

import re

MAX_TOPIC_LENGTH = 100  # characters, as in OutboxMessage.topic
_SHAPE = re.compile(r"(?P<name>[a-z][a-z_-]*)(?::[A-Za-z0-9_-]+)?")
_permissions: dict[str, str] = {}


def register(name: str, permission: str) -> None:
    """Allow users with `permission` ("app.codename") to watch the topic `name` and every topic `name:<id>`."""
    if _permissions.setdefault(name, permission) != permission:
        raise ValueError(f"Topic {name} is guarded by {_permissions[name]} already.")


def permission_for(topic: str) -> str | None:
    """Return the permission that the topic requires; None if the topic does not exist."""
    match = _SHAPE.fullmatch(topic) if len(topic) <= MAX_TOPIC_LENGTH else None
    return _permissions.get(match["name"]) if match else None


def permissions() -> set[str]:
    """Return every permission that a topic requires."""
    return set(_permissions.values())
