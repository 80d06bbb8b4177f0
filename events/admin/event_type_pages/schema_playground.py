"""Checks of a schema before it is published: on one example while it is typed, and on received events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import orjson
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.busy import Busy
from events import services
from events.admin.event_type_pages.schema_text import InvalidText, read_json, write_json
from events.admin.explorer_filters import text
from events.admin.rejected_group import GroupKey
from events.admin.widgets.json_html import json_html
from events.models import Event, EventType, RejectedEvent
from events.query.time_slices import TimeSlices
from events.validation.budget import UNLIMITED
from events.validation.errors import ValidationReason
from events.validation.schema_child import untrusted
from events.validation.schema_error import SchemaError

SIZES = [1_000, 10_000, 100_000]


@dataclass(frozen=True)
class Verdict:
    """The result for an example: `problem` if schema or example cannot be read, otherwise the validation `reasons`.

    Empty `reasons` mean that the example is valid.
    """

    problem: str = ""
    of_schema: bool = False
    reasons: list[ValidationReason] = field(default_factory=list)
    json: SafeString | str = ""
    is_empty: bool = False


def check_text(schema: str, example: str) -> Verdict:
    """Validate an example against a schema, both given as text. The example is an event's data or a whole event."""
    try:
        with untrusted(read_json(schema)) as checker:
            if not example.strip():
                return Verdict(is_empty=True)
            data = _example(example)
            reasons = checker.validate(data, json.dumps(data).encode(), UNLIMITED)
    except (InvalidText, SchemaError, Busy) as error:
        return Verdict(str(error), of_schema=True)
    except InvalidExample as error:
        return Verdict(str(error))
    return Verdict(
        reasons=reasons, json=json_html({"data": data}, [reason["pointer"] for reason in reasons]) if reasons else ""
    )


def dry_run_of(posted: Any) -> dict[str, Any]:
    """Return the dry run of a posted schema, or the problem that prevents it."""
    category, name = text(posted, "category"), text(posted, "name")
    last = int(posted.get("last", "")) if posted.get("last", "") in map(str, SIZES) else SIZES[1]
    try:
        schema = read_json(posted.get("schema", ""))
        run = services.dry_run(category=category, name=name, schema=schema, last=last)
    except (InvalidText, SchemaError, Busy) as error:
        return {"problem": str(error)}
    return {"run": run, "last": last}


def example_of(request: HttpRequest, type: EventType | None, form: Any) -> dict[str, Any]:
    """Return the submitted example, otherwise the rejected event the user comes from, otherwise the newest event.

    Each is used only if the user has the permission to view it.
    """
    key = GroupKey.of(dict(parse_qsl(request.GET.get("rejected", ""), keep_blank_values=True)))
    if not request.user.has_perm("events.view_rejectedevent"):
        key = replace(key, application=0)
    rejected = key.rows().order_by("-received_at").first() if key.application else None
    example = ""
    if request.method == "POST":
        example = request.POST.get("example", "")
    elif rejected is not None:
        example = _as_sent(rejected)
    elif request.user.has_perm("events.view_event"):
        category, name = (
            (type.category, type.name) if type else (form.initial.get("category"), form.initial.get("name"))
        )
        newest = _newest(category or "", name or "")
        example = write_json(newest.data) if newest else ""
    group = {"group": key, "group_count": key.rows().count()} if key.application else {}
    last = next((size for size in SIZES if str(size) == request.POST.get("last")), SIZES[1])
    return {"example": example, "sizes": SIZES, "last": last, **group}


def _newest(category: str, name: str) -> Event | None:
    events = Event.objects.filter(category=category, name=name).order_by("-timestamp", "-pk")
    parts = TimeSlices(category=category, name=name).parts(events)
    return next((event for part in parts if (event := part.first())), None)


class InvalidExample(ValueError):
    """The example cannot be read. The exception's text is the reason."""


def _example(text: str) -> Any:
    try:
        return _payload(read_json(text))
    except InvalidText as error:
        raise InvalidExample(str(error)) from error


def _payload(value: Any) -> Any:
    """Return the data of a pasted whole event, or the pasted data itself."""
    is_whole = isinstance(value, dict) and "data" in value and {"category", "name", "session_id"} & set(value)
    return value["data"] if is_whole else value


def _as_sent(row: RejectedEvent) -> str:
    """Return the data as sent, or the whole text if no data can be parsed."""
    raw = bytes(row.raw)
    try:
        return write_json(_payload(orjson.loads(raw)))
    except (ValueError, RecursionError):
        return raw.decode(errors="replace").replace("\x00", "\ufffd")
