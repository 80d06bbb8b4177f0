"""What Opsroom is for, told once from the beginning to the end, over HTTP and by real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.rabbitmq]  # not that it breaks anything: it starts a whole house
THREE = json.loads((Path(__file__).parent / "data" / "three_events.json").read_text())
SESSION = THREE[0]["session_id"]
SCHEMA = {
    "type": "object",
    "required": ["host", "path"],
    "properties": {"host": {"type": "string"}, "path": {"type": "string"}},
    "additionalProperties": False,
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.shell(
            "from django.contrib.auth.models import User; User.objects.create_superuser('ada', password='12345')"
        )
        instance.start_web()
        instance.start_worker(processes=1)
        instance.start_beat()
        yield instance


class Api:
    """One person, who asks and gets JSON."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()
        token = self.post("/auth/token/", {"username": "ada", "password": "12345"})["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def get(self, path: str, **query: str) -> Any:
        return self._told(self.session.get(self.url + path, params=query, timeout=30))

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self._told(self.session.post(self.url + path, json=body, headers=headers, timeout=30))

    def patch(self, path: str, body: Any) -> Any:
        return self._told(self.session.patch(self.url + path, json=body, timeout=30))

    @staticmethod
    def _told(answer: requests.Response) -> Any:
        assert answer.ok, answer.text
        return answer.json()


def names(page: dict[str, Any], member: str = "results") -> list[str]:
    return [event["name"] for event in page[member]]


@pytest.mark.timeout(180)
def test_three_events_are_found_and_a_wrong_one_is_mended_and_replayed(instance: Instance):
    api = Api(instance.url)
    key = api.post("/applications/", {"name": "Website"})["write_key"]
    kind = api.post("/event-types/", {"category": "page interaction", "name": "pageview", "schema": SCHEMA})

    def send(events: Any) -> Any:
        return api.post("/events/", events, Authorization=f"Bearer {key}")

    # The three arrive, and are found by session in order, by category, and by range of time.
    assert send(THREE)["accepted"] == 3
    instance.wait_for(lambda: len(api.get("/sessions/")["results"]) == 1)
    session = api.get(f"/sessions/{SESSION}/")
    assert (session["event_count"], session["duration"]) == (3, 2.0)
    assert names(session, "events") == ["pageview", "cta click", "submit"]
    assert [event["data"] for event in session["events"]] == [event["data"] for event in THREE]
    assert names(api.get("/events/", category="page interaction")) == ["cta click", "pageview"]
    second = {"from": "2021-01-01T09:15:28Z", "to": "2021-01-01T09:15:29Z"}
    assert names(api.get("/events/", **second)) == ["cta click"]
    assert names(api.get("/events/", category="form interaction", **second)) == []

    # One from the future and one with an unexpected payload are kept among the rejected, with reasons.
    future = THREE[1] | {"timestamp": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    unexpected = THREE[0] | {"data": {**THREE[0]["data"], "colour": "red"}, "timestamp": "2021-01-01T09:15:30Z"}
    told = send([future, unexpected])
    reasons = [(result["status"], result["errors"][0]["code"]) for result in told["results"]]
    assert reasons == [("rejected", "future"), ("rejected", "additionalProperties")]
    rejected = {row["code"]: row["reasons"] for row in api.get("/rejected-events/")["results"]}
    assert rejected["future"][0]["pointer"] == "/timestamp"
    assert rejected["additionalProperties"][0]["pointer"] == "/data/colour"
    assert {group["count"] for group in api.get("/rejected-events/groups/")} == {1}

    # The schema is corrected, tried, published; the group is replayed, and gone.
    corrected = {**SCHEMA, "properties": {**SCHEMA["properties"], "colour": {"type": "string"}}}
    tried = api.post(f"/event-types/{kind['id']}/dry-run/", {"schema": corrected})
    assert (tried["checked"], tried["rejected"], tried["rejected_now"]["accepted"]) == (1, 0, 1)
    assert api.patch(f"/event-types/{kind['id']}/", {"schema": corrected, "note": "Colours"})["version"] == 2
    started = api.post("/rejected-events/replay/", {"code": "additionalProperties", "pointer": "/data/*"})
    address = f"/replays/{started['id']}/"
    instance.wait_for(lambda: api.get(address)["finished_at"] is not None)
    assert api.get(address)["accepted"] == 1
    assert [row["code"] for row in api.get("/rejected-events/")["results"]] == ["future"]
    instance.wait_for(lambda: api.get(f"/sessions/{SESSION}/")["event_count"] == 4)
    assert names(api.get(f"/sessions/{SESSION}/"), "events") == ["pageview", "cta click", "submit", "pageview"]
