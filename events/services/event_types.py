"""Services for event types and the versions of their schemas."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.db.models import Max

from core.database.deadlocks import retried
from events.models import EventType, SchemaVersion
from events.models.event_type import anything
from events.services.history import ChangeRefused, save
from events.validation.json_numbers import restored
from events.validation.schema_child import check_schema


def create_event_type(
    *,
    category: str,
    name: str,
    schema: dict[str, Any] | None = None,
    description: str = "",
    note: str = "",
    actor: Any = None,
) -> EventType:
    """Create an event type. Without `schema`, any object is valid.

    Raises SchemaError for an invalid schema, ChangeRefused if the type already exists.
    """
    wanted = anything() if schema is None else schema
    check_schema(wanted)
    event_type = EventType(category=category, name=name, schema=wanted, description=description)
    with transaction.atomic():
        save(event_type, actor, "Created")
        _publish(event_type, 1, note, actor)
    return event_type


def describe_event_type(*, event_type: EventType, description: str, actor: Any = None) -> EventType:
    """Set a type's description. Raises EventType.DoesNotExist if it was deleted."""
    with transaction.atomic():
        locked = EventType.objects.select_for_update().get(pk=event_type.pk)
        if locked.description != description:
            locked.description = description
            save(locked, actor, "Described", ["description", "updated_at"])
    return locked


def publish_schema(
    *,
    event_type: EventType,
    schema: dict[str, Any],
    note: str = "",
    description: str | None = None,
    instead_of: int | None = None,
    described_as: str | None = None,
    actor: Any = None,
) -> EventType:
    """Publish a schema as the type's next version. An equivalent schema creates no new version.

    `description`, if given, is changed in the same transaction. `instead_of` and `described_as` are the version and the
    description that the author has seen. Raises ChangeRefused if they are not the current ones, SchemaError for an
    invalid schema, EventType.DoesNotExist if the type was deleted.
    """
    check_schema(schema)
    with transaction.atomic():
        locked = EventType.objects.select_for_update().get(pk=event_type.pk)
        if is_same_schema(locked.schema, schema) and description in (None, locked.description):
            return locked
        if instead_of not in (None, locked.version):
            raise ChangeRefused(f"Version {locked.version} was published meanwhile.")
        if described_as not in (None, locked.description):
            raise ChangeRefused("Another user has changed the description meanwhile. Save again to see the change.")
        if description is not None:
            locked = describe_event_type(event_type=locked, description=description, actor=actor)
        if is_same_schema(locked.schema, schema):
            return locked
        newest = locked.versions.aggregate(number=Max("number"))["number"] or 0
        locked.schema, locked.version = schema, max(newest, locked.version) + 1
        save(locked, actor, f"Published version {locked.version}", ["schema", "version", "updated_at"])
        _publish(locked, locked.version, note, actor)
    return locked


@retried
def delete_event_type(*, event_type: EventType, actor: Any = None) -> None:
    """Delete a type and its versions. Its events are of an unknown type from now on."""
    with transaction.atomic():
        locked = EventType.objects.select_for_update().filter(pk=event_type.pk).first()
        if locked is not None:
            locked._history_user = actor  # type: ignore[attr-defined]
            locked.delete()


def is_same_schema(one: Any, other: Any) -> bool:
    """Return whether two schemas are equal, apart from the order of members."""
    return _text(one) == _text(other)


def _text(schema: Any) -> str:
    """Return a text for comparison: in Python, 1 == True, and Postgres writes 1e20 as an integer."""
    return json.dumps(restored(schema), sort_keys=True)


def _publish(event_type: EventType, number: int, note: str, actor: Any) -> None:
    SchemaVersion.objects.create(
        event_type=event_type, number=number, schema=event_type.schema, note=note, published_by=actor
    )
