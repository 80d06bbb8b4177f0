"""The whole REST API compared with its own description, using generated values.

Also each malicious value alone, in each parameter, header, member of a body and part of a path.

For every operation in the schema: no 5xx, and no response whose status, content type, headers or body is not described.
Whatever an app adds to the schema is covered; `make chaos` tries many more values.
"""

import gc
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from accounts.tokens import issue_token
from chats.factories import BroadcastFactory, ChatFactory
from config.tests.matrix import create_everything
from config.tests.openapi_document import openapi_document
from config.tests.rest_routes import ROUTES
from config.tests.test_idempotency import CASES as POSTS
from config.tests.test_preconditions import CHANGES
from config.wsgi import application
from events.factories import (
    ApplicationFactory,
    EventFactory,
    EventTypeFactory,
    RejectedEventFactory,
    WriteKeyFactory,
)
from events.models import Replay, Session
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Report

pytestmark = pytest.mark.thorough

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Operations that are not called, each with the reason.
EXCLUDED = {
    "POST /broadcasts/banner": "asks the banner API, over the network",
}
ID = 1_000_000  # far beyond what sequences reach in tests
# Values of the names in paths, which `cast` creates. Values of other names are generated.
EXISTING = {
    "id": ID, "task_id": ID, "application_id": ID, "event_type_id": ID, "session_id": "fuzzed",
    "user_uuid": str(UUID(int=1)), "date": "2030-01-01",
}  # fmt: skip
EXAMPLES, MANY_EXAMPLES = 6, 100
TOTALS = dict.fromkeys(
    ["total", "pending", "in_progress", "completed", "due_today", "overdue", "done_yesterday"], 1
)  # fmt: skip


def operations() -> Iterator[APIOperation]:
    """Yield the operations of the schema at /schema/."""
    schema = schemathesis.openapi.from_dict(openapi_document())
    schema.app = application
    for result in schema.get_all_operations():
        yield result.ok()


ALL = {operation.label: operation for operation in operations()}


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Keep requests from closing the test's connection, which is in the test's transaction."""
    for signal in request_started, request_finished:
        signal.disconnect(close_old_connections)
    yield
    for signal in request_started, request_finished:
        signal.connect(close_old_connections)


@pytest.fixture
def cast(db) -> None:
    """Create one row of everything, with the ids of EXISTING."""
    project = ProjectFactory(pk=ID)
    CommentFactory(pk=ID, task=TaskFactory(pk=ID, project=project))
    Report.objects.create(date=EXISTING["date"], data={"totals": TOTALS, "projects": []})
    ChatFactory(user_uuid=EXISTING["user_uuid"])
    BroadcastFactory(pk=ID)
    events_cast()


def events_cast() -> None:
    sender = ApplicationFactory(pk=ID)
    WriteKeyFactory(pk=ID, application=sender)
    EventTypeFactory(pk=ID)
    event = EventFactory(pk=ID, application=sender, session_id=EXISTING["session_id"])
    moment = event.timestamp
    Session.objects.create(pk=EXISTING["session_id"], first_seen=moment, last_seen=moment, event_count=1)
    RejectedEventFactory(pk=ID, application=sender)
    Replay.objects.create(pk=ID, selection={"ids": [ID]}, last_id=ID, total=1)


@pytest.fixture
def key(superuser: User, cast: None) -> dict[str, str]:
    gc.collect()  # releases the slots of exports that other tests did not read
    return {"Authorization": f"Token {issue_token(user=superuser)[1]}"}


def test_what_is_excluded_is_there():
    assert set(EXCLUDED) <= set(ALL)


@pytest.mark.parametrize("label", sorted(set(ALL) - set(EXCLUDED)))
def test_no_answer_is_outside_of_the_schema(label, key):
    fuzz(ALL[label], key, EXAMPLES)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("label", sorted(set(ALL) - set(EXCLUDED)))
def test_no_answer_is_outside_of_the_schema_however_long_one_tries(label, key):
    fuzz(ALL[label], key, MANY_EXAMPLES)


@pytest.mark.parametrize("label", sorted(set(ALL) - {"POST /auth/token"}))
def test_an_anonymous_caller_is_401(label, cast):
    def ask(case: Case) -> None:
        response = case.call(headers={"Authorization": ""})
        assert response.status_code == 401
        case.validate_response(response, checks=CHECKS)

    each_example(ALL[label], 2, ask, path_parameters=named(ALL[label]))


def fuzz(operation: APIOperation, headers: dict[str, str], examples: int) -> None:
    """Call the operation with values that its description allows, and with values that it does not allow."""

    def ask(case: Case) -> None:
        with transaction.atomic():  # so that every call finds the same rows
            case.validate_response(case.call(headers=headers), checks=CHECKS)
            transaction.set_rollback(True)

    path = named(operation)
    each_example(operation, examples, ask, path_parameters=path)
    if operation.query or operation.body:  # something that can be invalid
        each_example(operation, examples, ask, path_parameters=path, generation_mode=GenerationMode.NEGATIVE)
    if path:
        each_example(operation, examples // 2, ask)


def named(operation: APIOperation) -> dict[str, Any]:
    names = {parameter.name for parameter in operation.path_parameters}
    return {name: value for name, value in EXISTING.items() if name in names}


def each_example(operation: APIOperation, examples: int, ask: Callable[[Case], None], **strategy: Any) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(**strategy))
    def run(case: Case) -> None:
        ask(case)

    run()


# --- Malicious values, one at a time, in otherwise valid requests ----------------------------------
HOSTILE: list[Any] = [
    "\0", "a\0b", "%00", "\u200b", "\u202e\ufeff", "", " ", "None", "x" * 100_000, "9" * 5_000, "NaN", "Infinity",
    "1e400", str(2**63), str(-(2**63) - 1), "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01",
    "2026-01-01T00:00:00+19:55", "9999-12-31", "24:00", "2026-02-30T00:00:00Z", "../../etc", "{}", "[", "'\"\\;--",
]  # fmt: skip
VALUES: list[Any] = [
    *HOSTILE[:5], *HOSTILE[8:16], None, True, 0, -1, 0.5, 2**63, -(2**63), 2**64 - 1, 1e308, [], {}, [[]], [None], [{}],
    {"": 0}, [2**63], json.loads("[" * 200 + "]" * 200),
]  # fmt: skip
RAW = [b"\xff", b"\xed\xa0\x80", b"%ED%A0%80", b"\xc3", b"\r\n", "ü".encode("latin-1"), b"a" * 10_000, b""]
HEADERS = {
    "Accept": ["", "*", "*/*;q=x", "text/html", "application/xml", "a/b/c", "application/json;" + "q=" * 5_000, "\xff"],
    "Content-Type": [
        "", "text/plain", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff",
        "application/json; charset=no-such", "application/json; charset=utf-16", "application/json; charset=idna",
        "application/x-www-form-urlencoded; charset=x", "application/x-www-form-urlencoded; charset=utf-7", "\xff/\xff",
        "a" * 10_000,
    ],
    "If-Match": ["\xff", '"' * 5_000, '"a",' * 5_000, "W/", "*,*"],
    "If-None-Match": ["\xff", '"' * 5_000, '"a",' * 5_000, "W/", "*,*"],
    "If-Modified-Since": ["\xff", "Thu, 01 Jan 0001 00:00:00 GMT", "x"],
    "Idempotency-Key": ["\xff", '"', "a" * 5_000, "\t"],
    "Range": ["bytes=", "bytes=9-1", f"bytes={2**70}-", "bytes=-" + "9" * 5_000, "\xff", "bytes=0-1,2-3"],
    "Authorization": ["\xff", "Token", "Token \xff", "Token a b c", "Basic \xff", "Bearer x", "Token " + "a" * 10_000],
    "X-Request-ID": ["\xff", "a" * 10_000],
    "Accept-Language": ["\xff", "xx;q=9" * 1_000],
    "X-HTTP-Method-Override": ["DELETE", "\xff"],
    "Cookie": ["\xff", "sessionid=\xff", "=" * 10_000],
    "X-Forwarded-For": ["\xff", "999.1.1.1, ::::", "," * 5_000],
}  # fmt: skip


def is_no_failure(answer: Any, *what: Any) -> None:
    if answer.streaming:
        answer.getvalue()
    away = {503} | ({502, 504} if "banner" in str(what) else set())  # the banner API is not running
    assert answer.status_code < 500 or answer.status_code in away, (*what, answer.content[:300])


@pytest.fixture
def hostile_client(superuser: User, settings) -> Client:
    settings.BANNER_API_URL = "http://127.0.0.1:9/"
    create_everything()
    gc.collect()
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {issue_token(user=superuser)[1]}"})


def ask(client: Client, method: str, path: str, body: Any = b"", **more: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with transaction.atomic():  # so that every call finds the same rows
        answer = client.generic(method, path, content, **{"content_type": "application/json"} | more)
        is_no_failure(answer, method, path[:300], str(body)[:300], str(more)[:300])
        transaction.set_rollback(True)


@pytest.mark.timeout(600)
@pytest.mark.django_db
@pytest.mark.parametrize("route", [route.route for route in ROUTES if "GET" in route.methods])
def test_no_value_of_a_parameter_is_a_failure(route, hostile_client):
    path = next(one for one in ROUTES if one.route == route).path
    names = [*PARAMETERS.get(_filled(f"/{route}", "{}"), []), "format", "no_such_parameter"]
    for name in names:
        for value in [*HOSTILE, *RAW]:
            given = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            ask(hostile_client, "GET", f"{path}?{name}={quote(given)}")
    for value in RAW:
        ask(hostile_client, "GET", f"{path}?{quote(value)}")


@pytest.mark.timeout(600)
@pytest.mark.django_db
@pytest.mark.parametrize("route", [route.route for route in ROUTES if "<" in route.route])
def test_no_value_in_an_address_is_a_failure(route, hostile_client):
    one = next(one for one in ROUTES if one.route == route)
    for value in [*HOSTILE, *RAW, str(2**64), "-1", "1.5", "0", "\u0661", str(uuid4()).upper(), f"{{{uuid4()}}}"]:
        given = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        for method in one.methods:
            ask(hostile_client, method, _filled(f"/{route}", quote(given, safe="")), {})


@pytest.mark.timeout(600)
@pytest.mark.django_db
@pytest.mark.parametrize("route", sorted({*POSTS, *CHANGES} - {"test-files/"}))
def test_no_value_of_a_member_is_a_failure(route, hostile_client):
    one = next(one for one in ROUTES if one.route == route)
    for method in set(one.methods) & {"POST", "PATCH" if "PATCH" in one.methods else "PUT"}:
        body = dict(POSTS[route][1]) if method == "POST" else CHANGES[route]
        if method == "PUT":
            body = {**hostile_client.get(one.path).json(), **body}
        for name in {*body, *MEMBERS.get(f"{method} {_filled(f'/{route}', '{}')}", [])}:
            for value in VALUES:
                ask(hostile_client, method, one.path, {**body, name: value})
        for value in [*VALUES, "text", [body]]:
            ask(hostile_client, method, one.path, value)
        for value in (b"name=%ff&text=%00", b"%00=1", b"--x", b"name=" + b"&name=" * 2_000):
            ask(hostile_client, method, one.path, value, content_type="application/x-www-form-urlencoded")
            ask(hostile_client, method, one.path, value, content_type="multipart/form-data; boundary=x")


@pytest.mark.timeout(600)
@pytest.mark.django_db
@pytest.mark.parametrize("name", HEADERS)
def test_no_value_of_a_header_is_a_failure(name, hostile_client):
    for one in {route.view: route for route in ROUTES}.values():
        for method in one.methods:
            for value in HEADERS[name]:
                more = {"content_type": value} if name == "Content-Type" else {"headers": {name: value}}
                ask(hostile_client, method, one.path, b'{"a": 1}' if method != "GET" else b"", **more)


def _filled(route: str, value: str) -> str:
    return re.sub(r"<(?:\w+:)?\w+>", lambda _: value, route)


def _shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def _described() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the described names: the parameters of each path, and the members of each body."""
    parameters, members = {}, {}
    document = openapi_document()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "get":
                found = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
                parameters[_shape(path)] = found
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                schema = document["components"]["schemas"].get(name, {})
                members[f"{method.upper()} {_shape(path)}"] = list(schema.get("properties", {}))
    return parameters, members


PARAMETERS, MEMBERS = _described()
