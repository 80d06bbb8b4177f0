"""Code examples for sending an event, with this installation's own address."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from events.admin.time_range import utc_text

PLACEHOLDER = "YOUR_WRITE_KEY"


@dataclass(frozen=True)
class Snippet:
    name: str
    code: str


def snippets(request: HttpRequest, key: str = "") -> list[Snippet]:
    """Return code examples that send an event when run unchanged. `key` is known only once, when it is created."""
    base_url = request.build_absolute_uri("/").rstrip("/")
    values = {"base_url": base_url, "address": f"{base_url}/events/", "key": key or PLACEHOLDER, "event": _event()}
    templates = {
        "curl": CURL,
        "Web page": PAGE,
        "Python, in the background": CLIENT,
        "Python, one request": PYTHON,
        "JavaScript, one request": JAVASCRIPT,
    }
    return [Snippet(name, code.format(**values)) for name, code in templates.items()]


def _event() -> str:
    event = {
        "session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423",
        "category": "page interaction",
        "name": "pageview",
        "data": {"host": "www.example.com", "path": "/"},
        "timestamp": utc_text(timezone.now()),
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
<script src="{base_url}/events/opsroom.js" data-key="{key}" async></script>
<!-- That sends page views. Whatever else happens: -->
<script>
  opsroom.track("page interaction", "cta click", {{ host: location.host, path: location.pathname }});
</script>"""
CLIENT = """\
# pip install ./clients/python, from a copy of Opsroom
from opsroom_events import Client

client = Client("{base_url}", write_key="{key}")
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
