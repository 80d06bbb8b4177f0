"""Validation of events: from the bytes of a body to validated items. The schema of the event type checks only `data`.

    {event_id?, session_id, category, name, data, timestamp}

Other members are ignored, because an application may use a newer version of the format. An event without an id gets
one, which the response contains. A timestamp is ISO 8601, in UTC if it has no zone. Digits beyond microseconds are
dropped.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from events.validation.errors import MAX_ERRORS, MAX_TEXT_LENGTH, ValidationReason, reason, storable
from events.validation.parser import Body, ParsedItem, too_deep
from events.validation.rules import Rules

MAX_KEPT_BYTES = 16 * 1024  # bytes that are kept of an item that is not JSON
INVALID_JSON_NAMESPACE = uuid.UUID("6c1a53f0-5a0c-4a52-9a4b-6f1f0d1f8a01")  # for the ids of bodies that are not JSON
# What became of an item. "gone": not stored, because its application was deleted meanwhile.
ItemOutcome = Literal["accepted", "duplicate", "rejected", "gone"]
NO_TIMESTAMP = datetime.min.replace(tzinfo=UTC)

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The formats of fromisoformat() that have a date and a time of day. Excludes week dates, ordinal dates and plain dates.
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*", re.ASCII)


@dataclass(slots=True)
class Item:
    """One item of a body. It is valid if `reasons` is empty. Its other members are filled as far as readable."""

    application: int
    body: Body
    place: int  # index in the body
    event_id: str = ""  # a UUID in its canonical form; generated if none was sent
    session_id: str = ""
    category: str = ""
    name: str = ""
    data: bytes = b"{}"  # JSON
    timestamp: datetime = NO_TIMESTAMP
    reasons: list[ValidationReason] = field(default_factory=list)
    received_at: datetime | None = None  # None: now
    is_kept: bool = True  # False for a rejected item that exceeds the application's daily quota

    @property
    def raw(self) -> bytes:
        """The bytes of the item, exactly as received."""
        return self.body.raws[self.place]

    @property
    def is_invalid_json(self) -> bool:
        """Whether the whole body is not JSON."""
        return not self.body.is_array and _is_unreadable(self)

    @property
    def kept(self) -> bytes:
        """The bytes to keep if it is rejected. An item that is not JSON is cut off after MAX_KEPT_BYTES."""
        raw = self.raw
        if len(raw) <= MAX_KEPT_BYTES or not _is_unreadable(self):
            return raw
        return raw[:MAX_KEPT_BYTES] + b" \xe2\x80\xa6 (%d bytes in all)" % len(raw)

    def result(self, outcome: ItemOutcome) -> dict[str, Any]:
        return {"event_id": self.event_id, "status": outcome, "errors": self.reasons}


def read(content: bytes, rules: Rules) -> list[Item]:
    """Return the validated items of a request's body. Raises TooManyItems, BudgetSpent."""
    return read_items(Body(content), rules)


def read_items(body: Body, rules: Rules) -> list[Item]:
    items = [check(one, Item(rules.application.id, body, place), rules) for place, one in enumerate(body.read())]
    if [item for item in items if item.reasons]:
        body.split()  # the bytes of rejected items are needed later; splitting is slow, so it is done here
        if items[0].is_invalid_json:
            items[0].event_id = str(uuid.uuid5(INVALID_JSON_NAMESPACE, hashlib.sha256(body.content).hexdigest()))
    return items


def _is_unreadable(item: Item) -> bool:
    return bool(item.reasons) and item.reasons[0]["code"] in ("not_json", "encoding")


def check(one: ParsedItem, item: Item, rules: Rules) -> Item:
    """Fill `item` with the members of the parsed value, and with its validation errors."""
    value, unstorable = one
    if unstorable:
        item.reasons += unstorable
    if not isinstance(value, dict):
        item.event_id = str(uuid.uuid4())
        if not unstorable:
            item.reasons.append(reason("type", [], "An event must be a JSON object."))
        return item
    _event_id(value, item)
    item.session_id = _text(value, "session_id", item)
    item.category = _text(value, "category", item)
    item.name = _text(value, "name", item)
    if not unstorable:
        _timestamp(value, item, rules)
        _payload(value, item, rules)
    if item.reasons:
        del item.reasons[MAX_ERRORS:]
    return item


def _event_id(value: dict[str, Any], item: Item) -> None:
    given = value.get("event_id")
    if given is None:
        item.event_id = str(uuid.uuid4())
    elif isinstance(given, str) and _UUID.fullmatch(given):
        item.event_id = given
    else:
        try:
            item.event_id = str(uuid.UUID(given))
        except (ValueError, TypeError, AttributeError):
            item.event_id = str(uuid.uuid4())
            item.reasons.append(reason("format", ["event_id"], "Not a valid UUID."))


def _text(value: dict[str, Any], member: str, item: Item) -> str:
    """Return a valid text member. For an invalid one, add a validation error and return the part that can be shown."""
    text = value.get(member)
    if type(text) is str and 0 < len(text) <= MAX_TEXT_LENGTH:
        return text if not item.reasons else storable(text)
    if member not in value:
        item.reasons.append(reason("required", [member], f'"{member}" is a required property'))
    elif not isinstance(text, str):
        item.reasons.append(reason("type", [member], 'This is not of type "string".'))
    elif not text:
        item.reasons.append(reason("minLength", [member], "This is empty."))
    else:
        item.reasons.append(reason("maxLength", [member], f"This is longer than {MAX_TEXT_LENGTH} characters."))
        return storable(text[:MAX_TEXT_LENGTH])
    return ""


def _timestamp(value: dict[str, Any], item: Item, rules: Rules) -> None:
    text = value.get("timestamp")
    if type(text) is not str:
        code, words = (
            ("type", 'This is not of type "string".')
            if "timestamp" in value
            else ("required", '"timestamp" is a required property')
        )
        item.reasons.append(reason(code, ["timestamp"], words))
        return
    try:
        item.timestamp = instant(text)
    except (ValueError, OverflowError):
        words = "Not a valid timestamp. Use ISO 8601, for example 2026-01-31T12:00:00Z."
        item.reasons.append(reason("format", ["timestamp"], words))
        return
    age = rules.now - item.timestamp
    if -age > rules.bounds.future:
        words = f"This is more than {rules.bounds.future.total_seconds():.0f} seconds in the future."
        item.reasons.append(reason("future", ["timestamp"], words))
    elif age > rules.bounds.past:
        words = f"This is longer ago than the {rules.bounds.past.days} days that events are kept."
        item.reasons.append(reason("too_old", ["timestamp"], words))


def instant(text: str) -> datetime:
    """Return the moment of an ISO 8601 timestamp, in UTC. Raises ValueError or OverflowError."""
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError(text)
    text = text.upper()  # RFC 3339 also allows lower-case t and z
    if text[16:19] == ":60":  # a leap second becomes the first second of the next minute, as in Postgres
        moment = datetime.fromisoformat(f"{text[:16]}:59{text[19:]}") + timedelta(seconds=1)
    else:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _payload(value: dict[str, Any], item: Item, rules: Rules) -> None:
    data = value.get("data")
    if not isinstance(data, dict):
        code, words = (
            ("type", 'This is not of type "object".')
            if "data" in value
            else ("required", '"data" is a required property')
        )
        item.reasons.append(reason(code, ["data"], words))
        return
    try:
        item.data = orjson.dumps(data)
    except orjson.JSONEncodeError:  # more than orjson's 254 levels; json and Postgres accept far more
        item.reasons.append(too_deep(["data"]))
        return
    checker = rules.types.get((item.category, item.name))
    if checker is not None:
        item.reasons += checker.validate(data, item.data, rules.budget)
    elif rules.application.rejects_unknown_types and item.category and item.name:
        item.reasons.append(reason("unknown_type", [], "There is no event type with this category and name."))
