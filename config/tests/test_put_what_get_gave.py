"""PUT (or PATCH) of a GET response is 200 and changes nothing: no column, no history, no live message."""

import json

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient
from simple_history.models import HistoricalChanges

from config.tests.matrix import create_everything
from config.tests.rest_routes import ROUTES
from events.factories import EventTypeFactory, NotificationFactory
from live.models import OutboxMessage as LiveMessage
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Comment, Project, Task

pytestmark = pytest.mark.django_db
CHANGEABLE = [
    (method, route) for route in ROUTES for method in ("PUT", "PATCH") if {method, "GET"} <= set(route.methods)
]


@pytest.fixture
def api(superuser) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    return client


def rows() -> dict[str, list[str]]:
    """Return every row of the apps, as text."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.app_label in ("chats", "events", "projects", "testrunner", "live"):
                cursor.execute(f"SELECT t::text FROM {model._meta.db_table} t ORDER BY 1")
                found[model.__name__] = [row for (row,) in cursor.fetchall()]
    return found


def send_back(api: APIClient, path: str, method: str = "PUT") -> None:
    shown = api.get(path)
    assert shown.status_code == 200, path
    before = rows(), LogEntry.objects.count()

    answer = api.generic(method, path, shown.content, content_type="application/json")

    assert answer.status_code == 200, (path, answer.content)
    assert answer.json() == shown.json()
    assert (rows(), LogEntry.objects.count()) == before, path


def test_there_is_history_to_look_at():
    assert any(issubclass(model, HistoricalChanges) for model in apps.get_models())
    assert LiveMessage._meta.app_label == "live"
    assert len(CHANGEABLE) > 12


def test_every_address_that_can_be_changed_takes_what_it_gave(api):
    create_everything()

    for method, route in CHANGEABLE:
        send_back(api, route.path, method)


def test_a_row_with_unusual_values_takes_what_it_gave(api, superuser):
    gone = User.objects.create_user("gone", is_active=False)
    task = TaskFactory(title=" spaces ", description="line\n", assignee=gone, project=ProjectFactory(owner=gone))
    Project.objects.filter(pk=task.project_id).update(name="name ")
    comment = CommentFactory(task=task, content="line\n", author=" somebody ")
    kind = EventTypeFactory(description=" words\n", schema={"maximum": 1e20, "const": True})
    notification = NotificationFactory(description="first line\n\n")

    for path in (
        f"/tasks/{task.pk}/",
        f"/projects/{task.project_id}/",
        f"/tasks/{task.pk}/comments/{comment.pk}/",
        f"/event-types/{kind.pk}/",
        f"/notifications/{notification.pk}/",
    ):
        send_back(api, path)

    assert Task.objects.get().assignee == gone and Project.objects.get().owner == gone
    assert Comment.objects.get().content == "line\n"


def test_one_member_changes_and_the_others_stay(api):
    gone = User.objects.create_user("gone", is_active=False)
    task = TaskFactory(title="Old", description="line\n", assignee=gone)
    shown = api.get(f"/tasks/{task.pk}/").json()

    answer = api.put(f"/tasks/{task.pk}/", {**shown, "title": "New"}, format="json")

    assert answer.status_code == 200, answer.content
    task.refresh_from_db()
    assert (task.title, task.description, task.assignee) == ("New", "line\n", gone)


def test_another_deactivated_assignee_is_still_refused(api):
    User.objects.create_user("gone", is_active=False)
    task = TaskFactory()

    answer = api.patch(f"/tasks/{task.pk}/", {"assignee": "gone"}, format="json")

    assert answer.status_code == 400 and "assignee" in answer.json()["errors"]


def test_a_member_that_cannot_change_is_refused_where_it_differs(api):
    notification = NotificationFactory(description="Hello", user_id="one")
    shown = api.get(f"/notifications/{notification.pk}/").json()

    answer = api.put(f"/notifications/{notification.pk}/", {**shown, "user_id": "another"}, format="json")

    assert answer.json()["errors"] == {"user_id": ["The user of a notification cannot be changed."]}


def test_true_is_not_taken_for_one(api):
    kind = EventTypeFactory(schema={"const": 1})
    shown = api.get(f"/event-types/{kind.pk}/").json()

    changed = api.put(f"/event-types/{kind.pk}/", {**shown, "schema": {"const": True}}, format="json").json()

    assert json.dumps(changed["schema"]) == '{"const": true}' and changed["version"] == shown["version"] + 1
