"""A form is compared with the row under its lock: no change happens between the comparison and the write."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client

from core.admin import form_versions
from events.factories import EventFactory, EventTypeFactory
from events.models import EventType
from events.services import describe_event_type, update_event
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Comment
from projects.services import update_comment, update_project, update_task

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 0.5  # seconds for a change that is not blocked


class AfterComparison:
    """Makes a change on another connection as soon as a form has been compared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> None:
        self.was_quicker = False  # whether it finished before the form's own write
        compare = form_versions.changed_since
        self.thread = threading.Thread(target=self._run, args=[change])

        def changed_since(*given: Any) -> list[str]:
            found = compare(*given)
            self.thread.start()
            self.thread.join(PATIENCE)
            self.was_quicker = not self.thread.is_alive()
            return found

        monkeypatch.setattr(form_versions, "changed_since", changed_since)

    def _run(self, change: Callable[[], Any]) -> None:
        try:
            change()
        except Exception as error:
            self.error = error  # the row was deleted
        finally:
            connection.close()


def token_in(page: str) -> str:
    found = re.search(rf'name="{form_versions.FIELD}" value="([^"]+)"', page)
    assert found, page
    return found[1]


DELETIONS: dict[str, tuple[Callable[[], Model], Callable[[Any], Any]]] = {
    "projects/project": (ProjectFactory, lambda row: update_project(project=row, name="Another")),
    "projects/task": (TaskFactory, lambda row: update_task(task=row, title="Another")),
    "events/event": (EventFactory, lambda row: update_event(event=row, name="another")),
    "events/eventtype": (EventTypeFactory, lambda row: describe_event_type(event_type=row, description="Another")),
}


@pytest.mark.parametrize("place", DELETIONS)
def test_what_changes_after_the_question_was_compared_is_not_deleted_unseen(place, superuser, monkeypatch):
    make, change = DELETIONS[place]
    row = make()
    client = Client()
    client.force_login(superuser)
    path = f"/admin/{place}/{row.pk}/delete/"
    token = token_in(client.get(path).content.decode())
    other = AfterComparison(monkeypatch, lambda: change(row))

    answer = client.post(path, {"post": "yes", form_versions.FIELD: token})

    other.thread.join(20)
    assert answer.status_code == 302
    is_deleted = not type(row)._base_manager.filter(pk=row.pk).exists()
    assert is_deleted != other.was_quicker


def test_a_description_that_changes_while_the_schema_is_checked_is_not_overwritten(superuser, monkeypatch):
    kind = EventTypeFactory(description="First")
    client = Client()
    client.force_login(superuser)
    path = f"/admin/events/eventtype/{kind.pk}/change/"
    token = token_in(client.get(path).content.decode())
    other = AfterComparison(
        monkeypatch, lambda: describe_event_type(event_type=kind, description="Second, unseen", actor=superuser)
    )

    answer = client.post(path, {"schema": "{}", "description": "Third", "instead_of": "1", form_versions.FIELD: token})

    other.thread.join(20)
    assert EventType.objects.get().description == "Second, unseen"
    assert "changed the description meanwhile" in answer.content.decode()


def test_a_comment_that_changes_after_it_was_compared_is_not_overwritten(superuser, monkeypatch):
    comment = CommentFactory(content="First", writer="root")
    client = Client()
    client.force_login(superuser)
    path = f"/admin/projects/task/{comment.task_id}/comments/{comment.pk}/"
    token = token_in(client.get(path).content.decode())
    other = AfterComparison(
        monkeypatch, lambda: update_comment(comment=comment, actor=superuser, content="Second, unseen")
    )

    answer = client.post(path, {"content": "Third", form_versions.FIELD: token}, headers={"hx-request": "true"})

    other.thread.join(20)
    assert Comment.objects.get().content == "Second, unseen"
    assert "Second, unseen" in answer.content.decode() and "Third" in answer.content.decode()
