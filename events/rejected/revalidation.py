"""Validation of rejected events exactly as the ingest would now, with their original time of arrival.

Events rejected because of a future timestamp are compared with the current time, which may have reached it.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone

from events.models import Application, Event, EventType, RejectedEvent
from events.validation.errors import ValidationReason
from events.validation.event import Item, check
from events.validation.json_numbers import restored
from events.validation.parser import Body, parse_item
from events.validation.rules import SETTINGS_COLUMNS, ApplicationSettings, Rules, Types
from events.validation.schemas import Checker
from events.validation.stored_schemas import stored

TypeName = tuple[str, str]  # category, name


class Revalidator:
    """Validator with the current applications and types.

    `instead` has unpublished schemas that replace published ones.
    """

    def __init__(self, instead: dict[TypeName, Checker] | None = None) -> None:
        self._types: Types = {**_types_now(), **(instead or {})}
        rows = Application.objects.values_list(*SETTINGS_COLUMNS)
        self._applications = {row[0]: ApplicationSettings(*row) for row in rows}

    def revalidate(self, row: RejectedEvent) -> Item:
        """Return the event's current result: valid, with the id returned to its sender, or with `reasons`."""
        raw = bytes(row.raw)
        item = self.check(raw, row.application_id, row.received_at)
        if any(reason["code"] == "future" for reason in item.reasons):
            item = self.check(raw, row.application_id, timezone.now())
        if row.event_id is not None:
            item.event_id = str(row.event_id)
        item.received_at = row.received_at
        return item

    def reasons(self, event: Event, changes: dict[str, Any]) -> list[ValidationReason]:
        """Return the validation errors of the event with these changes. Empty if it would be valid."""
        members = ("event_id", "session_id", "category", "name", "data", "timestamp")
        sent = {name: changes.get(name, getattr(event, name)) for name in members}
        sent["data"] = restored(sent["data"])
        raw = json.dumps(sent, cls=DjangoJSONEncoder, ensure_ascii=True)
        return self.check(raw.encode(), event.application_id, event.received_at).reasons

    def check(self, raw: bytes, application: int, received_at: datetime) -> Item:
        """Validate the bytes of one item as if it had arrived at `received_at`."""
        settings = self._applications.get(application) or ApplicationSettings(application)
        rules = Rules.for_application(settings, self._types, now=received_at)
        # Parsed as a single item even if it begins like an array, because it was one item of a body.
        return check(parse_item(raw), Item(application, Body(raw), 0), rules)


def _types_now() -> dict[TypeName, Checker]:
    rows = EventType.objects.values_list("category", "name", Cast("schema", TextField()))
    return {(category, name): _stored(text) for category, name, text in rows}


@lru_cache(maxsize=1_000)
def _stored(schema: str) -> Checker:
    return stored(schema)
