"""OpenAPI description of POST /events/, which has no view because the ingest serves it."""

from __future__ import annotations

import copy
from typing import Any

from events.ingest.request_body import MAX_BODY_BYTES
from events.validation.errors import MAX_TEXT_LENGTH
from events.validation.parser import MAX_ITEMS

_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}
_EVENT = {
    "type": "object",
    "required": ["session_id", "category", "name", "data", "timestamp"],
    "properties": {
        "event_id": {"type": "string", "format": "uuid", "description": "A retry must send the same id."},
        "session_id": _TEXT,
        "category": _TEXT,
        "name": _TEXT,
        "data": {"type": "object", "description": "Must match its type's schema.", "additionalProperties": True},
        "timestamp": {"type": "string", "format": "date-time", "description": "UTC where no zone is given."},
    },
}
_RESULT = {
    "type": "object",
    "required": ["event_id", "status", "errors"],
    "properties": {
        "event_id": {"type": "string", "format": "uuid"},
        "status": {"type": "string", "enum": ["accepted", "duplicate", "rejected"]},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Reason"}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected", "results"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {"type": "integer"},
        "results": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/IngestResult"},
            "description": "One for each item, in their order.",
        },
    },
}
_ONE = {"$ref": "#/components/schemas/NewEvent"}
_BODY = {"oneOf": [_ONE, {"type": "array", "items": _ONE, "maxItems": MAX_ITEMS}]}
_OPERATION: dict[str, Any] = {
    "operationId": "events_ingest",
    "description": (
        f"One event, or up to {MAX_ITEMS} of them in {MAX_BODY_BYTES // 1024} KiB; gzip is understood, and JSON sent "
        "as text/plain, as beacons do. 202 means committed. An invalid event is rejected and kept with its errors; its "
        "neighbours are stored. 503 has Retry-After: send the same again, with the same ids."
    ),
    "tags": ["events"],
    "security": [{"writeKey": []}, {"writeKeyHeader": []}],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _BODY}},
    },
    "responses": {
        "202": {
            "description": "Committed.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/IngestAnswer"}}},
        }
    },
}
_KEYS = {
    "writeKey": {"type": "http", "scheme": "bearer", "description": "An application's write key."},
    "writeKeyHeader": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
}


def document_ingest(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Schema hook that adds the endpoint which config/asgi.py passes to events/ingest/asgi_app.py."""
    result["paths"].setdefault("/events/", {})["post"] = copy.deepcopy(_OPERATION)
    result["components"].setdefault("securitySchemes", {}).update(_KEYS)
    schemas = {"NewEvent": _EVENT, "IngestResult": _RESULT, "IngestAnswer": _ANSWER}
    result["components"].setdefault("schemas", {}).update(copy.deepcopy(schemas))
    return result
