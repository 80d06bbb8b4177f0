"""What REST can delete, the admin can delete: every row of the demo, by every role with the permission."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone
from rest_framework.test import APIClient

from chats.models import Chat, Message
from core.admin.deletion import what_goes_with
from events.factories import ApplicationFactory, EventTypeFactory, RejectedEventFactory
from events.models import Application, Event, EventType, RejectedEvent, SchemaVersion
from projects.models import Comment, Project, Reminder, Task
from projects.reminders import arm
from testrunner.factories import FileFactory
from testrunner.models import FailureTask, Root, TestFile

pytestmark = pytest.mark.thorough

ROLES = {  # route of a DELETE: the model, and the roles that may delete, besides superusers
    "chats/<any_uuid:user_uuid>/": (Chat, []),
    "projects/<int:pk>/": (Project, ["planning"]),
    "tasks/<int:pk>/": (Task, ["planning"]),
    "applications/<int:pk>/": (Application, []),
    "event-types/<int:pk>/": (EventType, []),
    "events/<int:pk>/": (Event, ["analytics"]),
    "rejected-events/<int:pk>/": (RejectedEvent, ["analytics"]),
    "test-files/<int:pk>/": (TestFile, ["testing"]),
}
ELSEWHERE = {  # models without a delete page
    "tasks/<int:task_id>/comments/<int:pk>/": "the task's page: projects/tests/test_comments.py",
    "applications/<int:application_id>/keys/<int:pk>/": "revoked at the application's page",
    "broadcasts/<int:pk>/": "a button of its page: chats/tests/test_deletion.py",
    "calendar/token/": "revoked at the calendar",
    "auth/token/": "revoked by its user",
}
CASES = [(model, who) for model, roles in ROLES.values() for who in roles or ["superuser"]]


@pytest.fixture
def demo(settings, monkeypatch, superuser) -> None:
    """Create the demo data, with fewer rows, and the rows that workers add."""
    settings.LOCAL = True
    monkeypatch.setattr("chats.demo.fake.DEMO_CHATS", 3)
    monkeypatch.setattr("events.demo.fake.DEMO_EVENTS", 20)
    User.objects.create_superuser("admin", password="correct horse")
    call_command("create_demo", verbosity=0)
    arm()
    task = Task.objects.filter(reminders__status="pending").earliest("pk")
    past = timezone.now() - timedelta(days=9)
    Reminder.objects.create(task=task, due_date=past, status="sent", sent_at=past, recipient="planner@localhost")
    FailureTask.objects.create(environment_id=17, nodeid="test_login.py::test_opens", task=task)
    SchemaVersion.objects.create(event_type=EventTypeFactory(), number=1, schema={})
    RejectedEventFactory.create_batch(2, application=Application.objects.earliest("pk"))
    ApplicationFactory()
    FileFactory(root=Root.UPLOADS, path="test_uploaded.py")


def _user(who: str) -> User:
    user = User.objects.create_user(f"one of {who}", is_staff=True, is_superuser=who == "superuser")
    user.groups.set(Group.objects.filter(name=who))
    return user


def _client(who: str) -> Client:
    client = Client()
    client.force_login(_user(who))
    return client


def _api(who: str) -> APIClient:
    api = APIClient()
    api.force_authenticate(_user(who))
    return api


def _rows(model: type[Model]) -> list[Model]:
    """Return the rows that REST deletes: not applications with events, nor files of the project."""
    if model is Application:
        return list(model.objects.filter(events=None, rejected_events=None))
    return list(model.objects.filter(root=Root.UPLOADS) if model is TestFile else model.objects.all())


def _deletions(patterns: list, before: str = "") -> Iterator[str]:
    for found in patterns:
        route = before + str(found.pattern)
        if isinstance(found, URLResolver):
            yield from () if route == "admin/" else _deletions(found.url_patterns, route)
        elif (view := getattr(found.callback, "cls", None)) is not None:
            actions = getattr(found.callback, "actions", None)
            if "delete" in actions if actions else hasattr(view, "delete"):
                yield route.replace("^", "")


def test_every_deletion_of_the_rest_interface_is_compared_with_the_admin():
    assert set(_deletions(get_resolver().url_patterns)) - set(ELSEWHERE) == set(ROLES)


@contextmanager
def _undone() -> Iterator[None]:
    """Roll back what is done inside, because the demo takes a second to create."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_every_row_of_the_demo_is_deleted_in_the_admin_by_who_may(demo):
    for model, who in CASES:
        with _undone():
            _delete_all(model, _client(who))
            left = _rows(model)

            assert all(row.removed for row in left) if model is TestFile else not left, model


def _delete_all(model: type[Model], client: Client) -> None:
    rows = _rows(model)
    assert rows, model
    for row in rows:
        if not model.objects.filter(pk=row.pk).exists():
            continue  # deleted together with another row
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_delete", args=[row.pk])
        question = client.get(page)
        answer = client.post(page, {"post": "yes"})

        assert question.status_code == 200 and "have permission to delete" not in question.content.decode(), row
        assert answer.status_code == 302, row


@pytest.mark.django_db
def test_who_deletes_by_rest_is_who_deletes_in_the_admin(demo):
    for model, who in CASES:
        row = _rows(model)[0]
        route = next(route for route, (its_model, _) in ROLES.items() if its_model is model)
        address = "/" + route.split("<")[0] + (f"{row.user_uuid}/" if model is Chat else f"{row.pk}/")
        with _undone():
            assert _api("viewer").delete(address).status_code == 403, address
            assert _api(who).delete(address).status_code == 204, address


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Project, Task])
def test_all_rows_of_a_list_are_deleted_at_once_by_a_planner(model, demo):
    client = _client("planning")
    selected = {
        "action": "delete_selected",
        "_selected_action": list(model.objects.values_list("pk", flat=True)),
        "post": "yes",
    }

    question = client.post(f"/admin/projects/{model._meta.model_name}/", {**selected, "post": ""})
    client.post(f"/admin/projects/{model._meta.model_name}/", selected)

    assert "have permission to delete" not in question.content.decode()
    assert not model.objects.exists() and not Reminder.objects.exists()


@pytest.mark.django_db
def test_a_person_is_deleted_with_tokens_and_log_by_who_may_delete_people_only(demo, client):
    user = User.objects.create_user("keeper", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"]))
    client.force_login(user)
    planner = User.objects.get(username="planner")

    answer = client.post(reverse("admin:auth_user_delete", args=[planner.pk]), {"post": "yes"})

    assert answer.status_code == 302
    assert not User.objects.filter(pk=planner.pk).exists()
    assert Project.objects.filter(owner=None).count() == Project.objects.count()


@pytest.mark.django_db
def test_what_goes_with_a_row_is_counted_and_not_loaded(demo, django_assert_max_num_queries):
    project = Project.objects.filter(tasks__comments__isnull=False).earliest("pk")
    tasks = project.tasks.count()

    with django_assert_max_num_queries(12):
        counts, kept = what_goes_with(Project, [project.pk])

    assert (counts["projects"], counts["tasks"], kept) == (1, tasks, [])
    assert counts["comments"] == Comment.objects.filter(task__project=project).count()
    assert counts["reminders"] == Reminder.objects.filter(task__project=project).count()


@pytest.mark.django_db
def test_rows_that_stay_keep_what_they_refer_to(demo):
    application = Event.objects.values_list("application", flat=True)[0]

    assert "Events" in what_goes_with(Application, [application])[1]


@pytest.mark.django_db
def test_a_chat_goes_with_its_messages(demo):
    chat = Message.objects.earliest("pk").chat

    assert what_goes_with(Chat, [chat.pk])[0] == {"chats": 1, "messages": chat.messages.count()}
