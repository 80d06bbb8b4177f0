"""Trying a schema before it counts: on one example while one types, and on what really came."""

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
from events.admin.event_type_pages.schema_text import TypedWrong, read_json, write_json
from events.admin.explorer_filters import text
from events.admin.rejected_group import GroupKey
from events.admin.widgets.json_html import pretty
from events.models import Event, EventType, RejectedEvent
from events.query.time_slices import Reach
from events.validation.budget import UNLIMITED
from events.validation.errors import ValidationReason
from events.validation.schema_child import untrusted
from events.validation.schema_error import SchemaError

SIZES = [1_000, 10_000, 100_000]


@dataclass(frozen=True)
class Verdict:
    """`problem` where the schema or the example cannot be read; else `reasons`, none if the example is right."""

    problem: str = ""
    of_schema: bool = False
    reasons: list[ValidationReason] = field(default_factory=list)
    json: SafeString | str = ""
    is_empty: bool = False


def verdict_on(schema: str, example: str) -> Verdict:
    """Judge an example, which is an event's data or a whole event, by a schema; both as they were typed."""
    try:
        with untrusted(read_json(schema)) as checker:
            if not example.strip():
                return Verdict(is_empty=True)
            data = _example(example)
            reasons = checker.judge(data, json.dumps(data).encode(), UNLIMITED)
    except (TypedWrong, SchemaError, Busy) as error:
        return Verdict(str(error), of_schema=True)
    except _ExampleWrong as error:
        return Verdict(str(error))
    return Verdict(
        reasons=reasons, json=pretty({"data": data}, [reason["pointer"] for reason in reasons]) if reasons else ""
    )


def rehearsed(posted: Any) -> dict[str, Any]:
    """Return the dry run of a posted schema, or why there is none."""
    category, name = text(posted, "category"), text(posted, "name")
    last = int(posted.get("last", "")) if posted.get("last", "") in map(str, SIZES) else SIZES[1]
    try:
        schema = read_json(posted.get("schema", ""))
        run = services.dry_run(category=category, name=name, schema=schema, last=last)
    except (TypedWrong, SchemaError, Busy) as error:
        return {"problem": str(error)}
    return {"run": run, "last": last}


def example_of(request: HttpRequest, type: EventType | None, form: Any) -> dict[str, Any]:
    """Return the example that was typed, else the rejected event one comes from, else the newest event.

    Of each only what this person may see.
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
    parts = Reach(category=category, name=name).parts(events)
    return next((event for part in parts if (event := part.first())), None)


class _ExampleWrong(ValueError):
    """Why the example cannot be read."""


def _example(text: str) -> Any:
    try:
        return _payload(read_json(text))
    except TypedWrong as error:
        raise _ExampleWrong(str(error)) from error


def _payload(value: Any) -> Any:
    """A whole event may be pasted as well as its data alone."""
    is_whole = isinstance(value, dict) and "data" in value and {"category", "name", "session_id"} & set(value)
    return value["data"] if is_whole else value


def _as_sent(row: RejectedEvent) -> str:
    """Return the data that was sent; all of it, where none can be made out."""
    raw = bytes(row.raw)
    try:
        return write_json(_payload(orjson.loads(raw)))
    except (ValueError, RecursionError):
        return raw.decode(errors="replace").replace("\x00", "\ufffd")
