"""What can be watched, and by whom. Each app declares its topics in its AppConfig.ready()."""

from __future__ import annotations

import re

MAX_TOPIC_LENGTH = 100  # characters, as in Event.topic
_SHAPE = re.compile(r"(?P<name>[a-z][a-z_-]*)(?::[A-Za-z0-9_-]+)?")
_permissions: dict[str, str] = {}


def register(name: str, permission: str) -> None:
    """Let those who have `permission` ("app.codename") watch the topic `name` and every topic `name:<id>`."""
    if _permissions.setdefault(name, permission) != permission:
        raise ValueError(f"Topic {name} is guarded by {_permissions[name]} already.")


def permission_for(topic: str) -> str | None:
    """Return the permission that guards the topic; None: there is no such topic."""
    match = _SHAPE.fullmatch(topic) if len(topic) <= MAX_TOPIC_LENGTH else None
    return _permissions.get(match["name"]) if match else None


def permissions() -> set[str]:
    """Return every permission that guards a topic."""
    return set(_permissions.values())
