"""Code examples for sending an event, with this installation's own address."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from events.admin.time_range import written

PLACEHOLDER = "YOUR_WRITE_KEY"


@dataclass(frozen=True)
class Snippet:
    name: str
    code: str


def snippets(request: HttpRequest, key: str = "") -> list[Snippet]:
    """Return code examples that send an event when run unchanged. `key` is known only once, when it is created."""
    house = request.build_absolute_uri("/").rstrip("/")
    said = {"house": house, "address": f"{house}/events/", "key": key or PLACEHOLDER, "event": _event()}
    ways = {
        "curl": CURL,
        "Web page": PAGE,
        "Python, in the background": CLIENT,
        "Python, one request": PYTHON,
        "JavaScript, one request": JAVASCRIPT,
    }
    return [Snippet(name, code.format(**said)) for name, code in ways.items()]


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
PAGE = """\
<script>
  window.opsroom = window.opsroom || [];
  opsroom.track = opsroom.track || function () {{ opsroom.push(["track"].concat([].slice.call(arguments))); }};
</script>
<script src="{house}/events/opsroom.js" data-key="{key}" async></script>
<!-- That sends page views. Whatever else happens: -->
<script>
  opsroom.track("page interaction", "cta click", {{ host: location.host, path: location.pathname }});
</script>"""
CLIENT = """\
# pip install ./clients/python, from a copy of Opsroom
from opsroom_events import Client

client = Client("{house}", write_key="{key}")
client.track("session-1", "page interaction", "pageview", {{"host": "www.example.com", "path": "/"}})
client.flush()  # only where somebody must know: a thread sends, and once more at exit"""
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
