"""Creating requests whose Postgres session is terminated before each statement: the response matches the outcome.

A 503 means "try again", so nothing may have been committed; otherwise the retry would create a second row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.db import connection
from rest_framework.test import APIClient

from chats.models import Broadcast, Chat
from events.models import Application, EventType, Notification
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Comment, Project, Task
from testrunner.factories import RunFactory
from testrunner.models import Root, TestFile, TestRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


class EndBefore:
    """Terminates the session of the tests' connection, from a second connection, before its n-th statement."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.hit = False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.hit:
            self.hit = True
            end(connection.connection.get_backend_pid())
        return execute(sql, params, many, context)


def end(pid: int) -> None:
    given = {name: value for name, value in connection.get_connection_params().items() if name != "cursor_factory"}
    given.pop("context", None)
    other = psycopg2.connect(**given)
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


def sample() -> TestFile:
    return TestFile.objects.filter(root=Root.SAMPLES, path__contains="success").get()


def finished_run() -> TestRun:
    return TestRun.objects.filter(status="success").first() or RunFactory(success=True)


# What is posted where, and the rows it creates. Each body is unique, so none is refused as a duplicate.
CASES: dict[str, tuple[Callable[[], tuple[str, Any]], Any]] = {
    "chat": (lambda: ("/chats/", {"user_uuid": str(uuid4())}), Chat),
    "broadcast": (lambda: ("/broadcasts/", {"text": "Hello", "audience": "all"}), Broadcast),
    "project": (lambda: ("/projects/", {"name": f"Project {uuid4()}"}), Project),
    "task": (lambda: ("/tasks/", {"project": ProjectFactory().pk, "title": "Paint", "due_date": None}), Task),
    "comment": (lambda: (f"/tasks/{TaskFactory().pk}/comments/", {"author": "Ada", "content": "Done"}), Comment),
    "application": (lambda: ("/applications/", {"name": f"Website {uuid4()}"}), Application),
    "event type": (lambda: ("/event-types/", {"category": "page", "name": str(uuid4()), "schema": {}}), EventType),
    "notification": (lambda: ("/notifications/", {"user_id": str(uuid4()), "description": "Hello"}), Notification),
    "run": (lambda: ("/test-runs/", {"environment": 17, "files": [sample().pk]}), TestRun),
    "rerun": (lambda: (f"/test-runs/{finished_run().pk}/rerun/", {}), TestRun),
}
ORDINARY = ("broadcast", "task", "notification")  # one for each way in which an app commits


@pytest.fixture
def api(superuser) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    assert client.get("/test-files/").status_code == 200  # imports the sample files
    return client


@pytest.mark.parametrize(
    "kind", [kind if kind in ORDINARY else pytest.param(kind, marks=pytest.mark.thorough) for kind in CASES]
)
def test_a_503_means_that_nothing_was_made(kind: str, api: APIClient):
    prepare, model = CASES[kind]

    for number in range(1, 100):
        path, body = prepare()
        before = model.objects.count()
        ends = EndBefore(number)
        with connection.execute_wrapper(ends):
            answer = api.post(path, body, format="json")
        connection.close()
        made = model.objects.count() - before

        assert (answer.status_code, made) in [(503, 0), (201, 1), (202, 1)], f"{number}: {answer.content!r}"
        if not ends.hit:
            assert made == 1
            return
    raise AssertionError("more statements than expected")
