"""The whole REST interface against its own description, with values that nobody would think of.

Of every operation in the schema: no 5xx, and no answer whose status, content type, headers or body is not in it.
Whatever an app adds to the schema is covered; `make chaos` tries many more.
"""

import gc
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from accounts.tokens import issue_token
from chats.factories import BroadcastFactory, ChatFactory
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
ID = 1_000_000  # far from what sequences reach in tests
# What the names in paths stand for: `cast` makes them. Of other names, values are made up.
EXISTING = {
    "id": ID, "task_id": ID, "application_id": ID, "event_type_id": ID, "session_id": "fuzzed",
    "user_uuid": str(UUID(int=1)), "date": "2030-01-01",
}  # fmt: skip
EXAMPLES, MANY_EXAMPLES = 6, 100
TOTALS = dict.fromkeys(
    ["total", "pending", "in_progress", "completed", "due_today", "overdue", "done_yesterday"], 1
)  # fmt: skip


def operations() -> Iterator[APIOperation]:
    """Return the operations of the schema that the house serves at /schema/."""
    document = OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True), None, None)
    schema = schemathesis.openapi.from_dict(json.loads(document))
    schema.app = application
    for result in schema.get_all_operations():
        yield result.ok()


ALL = {operation.label: operation for operation in operations()}


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Leave the test's connection alone: it is in the test's transaction."""
    for signal in request_started, request_finished:
        signal.disconnect(close_old_connections)
    yield
    for signal in request_started, request_finished:
        signal.connect(close_old_connections)


@pytest.fixture
def cast(db) -> None:
    """One of everything, with the names of EXISTING."""
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
    gc.collect()  # exports that other tests dropped unread give their places back
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
    """Call the operation with values that its description allows, and with values that it does not."""

    def ask(case: Case) -> None:
        with transaction.atomic():  # every call finds the same rows
            case.validate_response(case.call(headers=headers), checks=CHECKS)
            transaction.set_rollback(True)

    path = named(operation)
    each_example(operation, examples, ask, path_parameters=path)
    if operation.query or operation.body:  # something that could be wrong
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
