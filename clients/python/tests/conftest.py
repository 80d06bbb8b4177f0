"""Fixtures: a scripted server, and a client that sends quickly and is always closed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from opsroom_events import Client
from opsroom_events import client as module

Answer = Callable[[list[dict[str, Any]]], Response]


def events_of(request: Request) -> list[dict[str, Any]]:
    body = request.get_data()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


def accepted(events: list[dict[str, Any]]) -> Response:
    results = [{"event_id": event["event_id"], "status": "accepted", "errors": []} for event in events]
    return Response(json.dumps({"accepted": len(events), "results": results}), 202, content_type="application/json")


def status(code: int, **headers: str) -> Answer:
    return lambda _: Response("in words", code, {key.replace("_", "-"): value for key, value in headers.items()})


class Ingest:
    """The server: `answers` are its responses in order, the last one repeated; `batches` are the received events."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/")
        self.batches: list[list[dict[str, Any]]] = []
        self.keys: set[str | None] = set()
        self.answers: list[Answer] = [accepted]
        server.expect_request("/events/", method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        events = events_of(request)
        self.batches.append(events)
        self.keys.add(request.headers.get("X-Write-Key"))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return answer(events)

    @property
    def ids(self) -> list[list[str]]:
        return [[event["event_id"] for event in batch] for batch in self.batches]


@pytest.fixture
def ingest(httpserver: HTTPServer) -> Ingest:
    return Ingest(httpserver)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Make every pause short. The list has the bounds from which each pause would have been chosen."""
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr(module.random, "uniform", lambda *bounds: asked.append(bounds) or 0.01)
    return asked


@pytest.fixture
def make_client(ingest: Ingest) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(options.pop("url", ingest.url), options.pop("write_key", "k"), **options))
        return made[-1]

    yield make
    for client in made:
        client.close(timeout=0.1)


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client(max_age=0.01)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the messages that the client has logged so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == "opsroom_events"]
