"""Malicious JSON at every REST URL that takes a body: refused as a problem that names the place, never a 5xx."""

import json
from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.tokens import issue_token
from config.tests.openapi_document import openapi_document
from projects.factories import TaskFactory

pytestmark = pytest.mark.django_db
HOSTILE = {
    "too deep": b"[" * 100_000,
    "too deep, closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "too deep in a member": b'{"data": ' + b"[" * 400 + b"]" * 400 + b"}",
    "NUL": rb'{"a": {"b": "\u0000"}}',
    "NUL in a name": rb'{"\u0000": 1}',
    "half a surrogate pair": rb'{"a": "\ud800"}',
    "not a number": b'{"a": NaN}',
    "infinite": b'{"a": -Infinity}',
    "beyond a float": b'{"a": 1e999}',
    "a huge integer": b'{"a": ' + b"9" * 100_000 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "another encoding": '{"a": 1}'.encode("utf-16"),
    "too many values": b"[" + b"0," * 1_000_000 + b"0]",
    "nothing": b"",
}


def writing_addresses() -> Iterator[tuple[str, str]]:
    """Yield every operation of the schema that takes JSON, with 1 for each id in its path."""
    document = openapi_document()
    for path, operations in document["paths"].items():
        if path == "/events":
            continue  # the ingest: events/tests/test_hostile.py
        for method, operation in operations.items():
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                parts = ["1" if part.startswith("{") else part for part in path.split("/")]
                yield method, "/".join(parts).replace("/chats/1/", "/chats/6f9619ff-8b86-d011-b42d-00c04fc964ff/") + "/"


ADDRESSES = sorted(set(writing_addresses()))


@pytest.fixture
def client(superuser) -> Client:
    token = issue_token(user=superuser)[1]
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {token}"})


def test_there_are_addresses_to_try():
    assert ("post", "/auth/token/") in ADDRESSES and ("post", "/tasks/") in ADDRESSES and len(ADDRESSES) > 20


@pytest.mark.parametrize("name", HOSTILE)
def test_no_address_fails_on_hostile_json(client, name):
    for method, path in ADDRESSES:
        answer = client.generic(method.upper(), path, HOSTILE[name], content_type="application/json")

        assert 400 <= answer.status_code < 500 or not HOSTILE[name], (method, path, answer.status_code)
        if answer.status_code == 400:
            assert answer.headers["Content-Type"] == "application/problem+json" and answer.json()["detail"]


def test_an_anonymous_caller_is_told_that_the_body_is_too_deep():
    answer = Client().generic("POST", "/auth/token/", HOSTILE["too deep"], content_type="application/json")

    assert answer.status_code == 400 and "nested more than 256 levels" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "Text must not contain the character NUL."),
        ("\ud800", "This text contains half of a surrogate pair."),
        (10**20 + 1, "This number is beyond 64 bits or not finite."),
    ],
)
def test_the_problem_names_the_field(client, value, words):
    task = TaskFactory()

    answer = client.patch(f"/tasks/{task.pk}/", json.dumps({"title": value}), content_type="application/json")

    assert answer.status_code == 400
    assert answer.json()["errors"] == {"title": [words]} and answer.json()["detail"] == f"title: {words}"


def test_json_is_utf_8_whatever_charset_is_announced(client):
    task = TaskFactory()
    for charset in ("latin-1", "base64", "utf-7", "no-such-charset"):
        content_type = f"application/json; charset={charset}"

        answer = client.patch(f"/tasks/{task.pk}/", '{"title": "Žluť"}'.encode(), content_type=content_type)

        assert (answer.status_code, answer.json()["title"]) == (200, "Žluť")


def test_a_json_body_beyond_the_limit_is_413(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000

    answer = client.post("/projects/", {"name": "x" * 1_000}, content_type="application/json")

    assert (answer.status_code, answer.json()["detail"]) == (413, "The request is too large.")
