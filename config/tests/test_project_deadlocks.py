"""Every pair of the projects app's services on two connections, stopped at every lock: they never deadlock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.utils import timezone

from config.pages.people import delete_person
from core.errors import RelatedRowGone
from core.tests.interleaving import interleave, recorded
from projects import reminders, reports, services
from projects.models import Comment, Project, Reminder, Task
from projects.tests.mail_server import serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
_numbers = count(1)


class World:
    """Two projects with tasks, comments and reminders, and the two users who own them."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.owner = User.objects.create(username=f"owner {number}")
        self.worker = User.objects.create(username=f"worker {number}", email="worker@localhost")
        self.project = Project.objects.create(name="One", owner=self.owner)
        self.other = Project.objects.create(name="Other", owner=self.worker)
        now = timezone.now()
        self.tasks = Task.objects.bulk_create(
            Task(
                project=self.other if place == 3 else self.project, title=f"Task {place}",
                assignee=self.worker if place else self.owner, due_date=now + timedelta(hours=1 + place),
                created_at=now - timedelta(9),
            )
            for place in range(4)
        )  # fmt: skip
        self.comments = Comment.objects.bulk_create(
            Comment(task=task, author="worker", content="a") for task in self.tasks
        )
        past = now - timedelta(days=2)
        self.failed = Reminder.objects.bulk_create(
            Reminder(task=task, due_date=past, status="failed", error="x") for task in self.tasks
        )
        Reminder.objects.bulk_create(
            Reminder(task=task, due_date=past - timedelta(1), attempts=5, lease_until=past) for task in self.tasks
        )
        self.day = (now + timedelta(days=number)).date()


@pytest.fixture
def mailbox(settings):
    with serving(settings) as box:
        yield box


def _deactivate(world: World) -> None:
    world.worker.is_active = False
    world.worker.save(update_fields=["is_active"])


VERBS: dict[str, Callable[[World], Any]] = {
    "edit task": lambda world: services.update_task(task=world.tasks[0], title="New", actor=world.worker),
    "assign": lambda world: services.update_task(task=world.tasks[1], assignee=world.owner, actor=world.owner),
    "move card": lambda world: services.move_task(task=world.tasks[1], status="completed", actor=world.worker),
    "edit many": lambda world: services.update_tasks(ids=[one.pk for one in world.tasks[::-1]], priority="high"),
    "gather": lambda world: services.update_tasks(ids=[one.pk for one in world.tasks[::-1]], project=world.project),
    "give away": lambda world: services.update_tasks(ids=[one.pk for one in world.tasks[:2]], project=world.other),
    "add task": lambda world: services.create_task(
        project=world.project, title="New", assignee=world.worker, actor=world.owner
    ),
    "delete task": lambda world: services.delete_task(task=world.tasks[1], actor=world.worker),
    "delete tasks": lambda world: services.delete_tasks(ids=[one.pk for one in world.tasks[::-1]], actor=world.owner),
    "edit project": lambda world: services.update_project(project=world.project, name="New", owner=world.worker),
    "delete project": lambda world: services.delete_project(project=world.project, actor=world.owner),
    "add comment": lambda world: services.add_comment(task=world.tasks[1], content="a", actor=world.worker),
    "edit comment": lambda world: services.update_comment(comment=world.comments[1], content="b"),
    "delete comment": lambda world: services.delete_comment(comment=world.comments[1]),
    "arm reminders": lambda world: reminders.arm(),
    "send reminders": lambda world: reminders.send_due(seconds=1),
    "retry reminders": lambda world: reminders.retry_reminders(ids=[one.pk for one in world.failed[::-1]]),
    "report": lambda world: reports.generate_report(day=world.day),
    "delete owner": lambda world: delete_person(person=User.objects.get(pk=world.owner.pk)),
    "delete assignee": lambda world: delete_person(person=User.objects.get(pk=world.worker.pk)),
    "deactivate": _deactivate,
}
MAX_LOCKS = 60  # a service is not stopped at further locks


def circle(first: str, second: str, monkeypatch: pytest.MonkeyPatch, every: int) -> list[str]:
    """Return the failures: deadlocks, and errors that are not about rows that the other has deleted."""
    found = []
    for after in range(1, MAX_LOCKS, every):
        world = World()
        with recorded(monkeypatch) as deadlocks:
            goes_on, raised = interleave(lambda w=world: VERBS[first](w), lambda w=world: VERBS[second](w), after)
        found += [f"{first} | {second}, stopped after lock {after}: {error!r}" for error in deadlocks]
        found += [
            f"{first} | {second}, stopped after lock {after}: {error!r}"
            for error in raised
            if not isinstance(error, RelatedRowGone | ObjectDoesNotExist | PermissionDenied)
        ]
        if not goes_on:
            break
    return found


# Pairs that deadlocked before there was one lock order, and pairs that involve other apps' rows or a user.
CIRCLES = [
    ("gather", "delete project"),
    ("delete project", "gather"),
    ("delete owner", "delete project"),
    ("delete project", "delete owner"),
    ("delete assignee", "assign"),
    ("assign", "delete assignee"),
    ("add task", "delete assignee"),
    ("delete assignee", "add task"),
    ("delete tasks", "retry reminders"),
    ("retry reminders", "delete tasks"),
    ("arm reminders", "delete project"),
    ("delete project", "add comment"),
    ("edit many", "delete tasks"),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("first", "second"), CIRCLES)
def test_verbs_that_share_tables_wait_in_one_order(first, second, monkeypatch):
    assert circle(first, second, monkeypatch, every=3) == []


def test_a_large_project_is_deleted_while_a_comment_is_added_to_its_last_task(monkeypatch):
    monkeypatch.setattr(services, "MAX_MESSAGES", 1)

    assert circle("delete project", "add comment", monkeypatch, every=4) == []


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", VERBS)
def test_no_two_verbs_wait_in_a_circle_wherever_the_first_is_stopped(first, mailbox, monkeypatch):
    assert [line for second in VERBS for line in circle(first, second, monkeypatch, every=1)] == []
