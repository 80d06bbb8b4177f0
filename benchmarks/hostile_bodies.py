"""The most expensive bodies and schemas that are allowed. benchmarks/hostile_senders.py sends them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

MAX_BODY_BYTES = 512 * 1024 - 1_000  # bytes per body; slightly below the limit
ALTERNATIVES = 400


class Hostile(NamedTuple):
    """One sender: the schema of its event type, and the gzipped body that it sends repeatedly."""

    name: str
    schema: dict[str, Any]
    body: bytes


def item(name: str, data: Any) -> str:
    sent = {"session_id": "s", "category": "hostile", "name": name, "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps(sent | {"data": data}, separators=(",", ":"))


def repeated(name: str, unit: str, size: int = MAX_BODY_BYTES) -> str:
    """Return an item whose data has a member with as many repetitions of `unit` as fit."""
    return item(name, {"a": "X"}).replace('"X"', f"[{','.join([unit] * (size // (len(unit) + 1)))}]")


def inside(schema: dict[str, Any]) -> dict[str, Any]:
    return {"additionalProperties": {"items": schema}}


def alternatives(name: str) -> str:
    """Return an item that uses nearly all the validation work allowed for one item."""
    return item(name, {"a": [0] * (95_000 // ALTERNATIVES)})


def senders() -> list[Hostile]:
    texts, dear = inside({"type": "string"}), inside({"anyOf": [{"type": "string"}] * ALTERNATIVES})
    found = {
        "zeros": (texts, f"[{repeated('zeros', '0')}]"),
        "wrong values": (texts, f"[{repeated('wrong values', '0', 180_000)}]"),
        "empty arrays": (texts, f"[{repeated('empty arrays', '[]')}]"),
        "nested arrays": (texts, f"[{repeated('nested arrays', '[[[[0],[0]]]]')}]"),
        "cut off": (texts, f"[{repeated('cut off', '[0,[0]]')[:-2]}"),
        "long numbers": (texts, f"[{repeated('long numbers', '12345678901234567890')}]"),
        "alternatives": (dear, f"[{','.join([alternatives('alternatives')] * 20)}]"),
        "names": ({"propertyNames": {"maxLength": 1}}, f"[{item('names', {str(n): 0 for n in range(30_000)})}]"),
        "expressions": (
            {"additionalProperties": {"pattern": "[ab]*a[ab]{400}c"}},
            f"[{','.join([item('expressions', {'a': 'ab' * 450})] * 20)}]",
        ),
        "fractions": (
            inside({"enum": list(range(450))}),
            f"[{','.join([item('fractions', {'a': [1e-300]}), item('fractions', {'a': [1.5] * 10})] * 10)}]",
        ),
    }
    return [Hostile(name, schema, gzip.compress(body.encode())) for name, (schema, body) in found.items()]
