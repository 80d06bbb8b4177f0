"""How an application sends an event: to copy, with this house's own address."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from events.admin.span import written

PLACEHOLDER = "YOUR_WRITE_KEY"


@dataclass(frozen=True)
class Snippet:
    name: str
    code: str


def snippets(request: HttpRequest) -> list[Snippet]:
    """Return the same event in curl, Python and JavaScript; copied and run as they are, they send it."""
    address, key, event = request.build_absolute_uri("/events/"), PLACEHOLDER, _event()
    return [
        Snippet("curl", CURL.format(address=address, key=key, event=event)),
        Snippet("Python", PYTHON.format(address=address, key=key, event=event)),
        Snippet("JavaScript", JAVASCRIPT.format(address=address, key=key, event=event)),
    ]


def _event() -> str:
    event = {
        "session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423",
        "category": "page interaction",
        "name": "pageview",
        "data": {"host": "www.example.com", "path": "/"},
        "timestamp": written(timezone.now()),
    }
    return json.dumps(event, indent=2)


CURL = """\
curl {address} \\
  -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{event}'"""
PYTHON = """\
import requests

event = {event}
answer = requests.post(
    "{address}",
    json=event,
    headers={{"Authorization": "Bearer {key}"}},
    timeout=5,
)
print(answer.status_code, answer.json())"""
JAVASCRIPT = """\
const event = {event};
const answer = await fetch("{address}", {{
  method: "POST",
  headers: {{ "X-Write-Key": "{key}", "Content-Type": "application/json" }},
  body: JSON.stringify(event),
}});
console.log(answer.status, await answer.json());"""
