"""Each query has its own cache entry, which no other query gets."""

import threading
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AccessToken
from accounts.tokens import issue_token
from projects.factories import TaskFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def paula(planner) -> Client:
    return Client(headers={"Authorization": f"Token {issue_token(user=planner)[1]}"})


@pytest.mark.parametrize(
    "first, second",
    [
        ("page=1&page_size=2", "page=2&page_size=2"),
        ("page_size=1", "page_size=3"),
        ("assignee=none", "assignee=paula"),
        ("search=Task", "search=nothing"),
        ("status=pending&status=completed", "status=completed&status=in_progress"),
        ("search=", "search=%20zzz"),
        ("search=zz%26page%3D2", "search=zz&page=2"),
        ("ordering=id", "ordering=-id"),
    ],
)
def test_a_question_is_not_answered_with_what_another_one_stored(first: str, second: str, paula):
    TaskFactory.create_batch(3, title="Task")
    TaskFactory(title="Mine", assignee=AccessToken.objects.get().user)
    # `format=json` does not change the response, but its cache key differs from all others.
    expected = paula.get(f"/tasks/?{second}&format=json")
    assert expected.content != paula.get(f"/tasks/?{first}&format=json").content

    stored = paula.get(f"/tasks/?{first}")
    answer = paula.get(f"/tasks/?{second}")

    assert stored.content != answer.content
    assert answer.status_code == expected.status_code
    if answer.status_code == 200:
        assert answer.json()["results"] == expected.json()["results"]


@pytest.mark.parametrize("query", ["page=1&page=2", "search=a&search=b", "assignee=none&assignee=paula"])
def test_a_repeated_parameter_is_refused_and_nothing_is_stored(query, paula):
    for _ in range(2):
        answer = paula.get(f"/tasks/?{query}")
        assert answer.status_code == 400 and "more than once" in answer.json()["detail"]


def test_a_task_is_in_the_list_of_overdue_ones_from_its_due_time_on(paula):
    due = timezone.now() + timedelta(seconds=1)
    task = TaskFactory(due_date=due)
    assert paula.get("/tasks/?overdue=true").json()["results"] == []
    assert [row["id"] for row in paula.get("/tasks/?overdue=false").json()["results"]] == [task.pk]

    assert threading.Event().wait((due - timezone.now()).total_seconds() + 0.01) is False

    assert [row["id"] for row in paula.get("/tasks/?overdue=true").json()["results"]] == [task.pk]
    assert paula.get("/tasks/?overdue=false").json()["results"] == []
