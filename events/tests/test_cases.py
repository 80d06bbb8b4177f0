"""The JSON API's cases: every file in cases/ is a list of requests with what they must answer.

A case has `description`, `url`, `method`, `status`, and where there is a body `input` and `expected` (what the answer
must contain). One event is there already: a page view of `session-1`, whose id is `{stored}`. Optional: `as` (analyst,
viewer, stranger or nobody; default analyst) and `save` (names for values of the answer, such as {"id": "event_id"}),
which later cases of the file use as `{id}`. In `expected`, "<uuid>", "<time>", "<text>", "<number>" and "<any>" stand
for anything of that kind; an object may have more fields, an array is complete.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from events.factories import EventFactory
from events.tests.counting import count_all

FILES = sorted((Path(__file__).parent / "cases").glob("*.json"))
KINDS = {
    "<uuid>": lambda value: UUID(value),
    "<time>": lambda value: datetime.fromisoformat(value).tzinfo is not None or 1 / 0,
    "<text>": lambda value: isinstance(value, str) or 1 / 0,
    "<number>": lambda value: isinstance(value, int | float) or 1 / 0,
    "<any>": lambda value: True,
}


@pytest.fixture
def clients(anon_api, stranger_api, viewer_api, analyst_api) -> dict[str, APIClient]:
    return {"nobody": anon_api, "stranger": stranger_api, "viewer": viewer_api, "analyst": analyst_api}


@pytest.mark.django_db
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_case_of_the_file_answers_as_it_says(clients, file: Path):
    saved = {"stored": str(EventFactory(session_id="session-1").pk)}
    count_all()

    for case in json.loads(file.read_text()):
        where = f"{file.name}: {case['description']}"
        client = clients[case.get("as", "analyst")]
        body = _filled(case.get("input"), saved)
        answer = client.generic(
            case["method"],
            _filled(case["url"], saved),
            "" if body is None else json.dumps(body),
            content_type="application/json",
        )
        assert answer.status_code == case["status"], f"{where}: {answer.content.decode()}"
        found = json.loads(answer.content) if answer.content else None
        if "expected" in case:
            assert _differences(_filled(case["expected"], saved), found) == [], where
        saved |= {name: str(found[field]) for name, field in case.get("save", {}).items()}


def test_there_are_cases():
    assert FILES


def _filled(value: Any, saved: dict[str, str]) -> Any:
    """The value with each {name} that an earlier case has saved."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: saved[match[1]], value)
    if isinstance(value, dict):
        return {key: _filled(inner, saved) for key, inner in value.items()}
    return [_filled(inner, saved) for inner in value] if isinstance(value, list) else value


def _differences(expected: Any, found: Any, path: str = "") -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = [f"{path}/{key} is missing" for key in expected if key not in found]
        shared = [key for key in expected if key in found]
        return missing + [line for key in shared for line in _differences(expected[key], found[key], f"{path}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for number, pair in pairs for line in _differences(*pair, f"{path}/{number}")]
    if isinstance(expected, str) and expected in KINDS:
        try:
            KINDS[expected](found)
        except (ValueError, TypeError, AttributeError, ZeroDivisionError):
            return [f"{path}: {found!r} is no {expected}"]
        return []
    return [] if expected == found else [f"{path}: {found!r} instead of {expected!r}"]
