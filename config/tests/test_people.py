"""Deleting a user while another request assigns work to them: no reference is left, and neither request fails."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.signals import post_delete

from config.pages.people import delete_person
from core.tests.interleaving import interleave
from projects import services
from projects.calendar.feed import new_token
from projects.factories import ProjectFactory, TaskFactory
from projects.models import CalendarToken, Task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before_the_row_goes():
    """Run a function once on another connection, after the user's related rows were collected."""
    waiting = []

    def work(todo) -> None:
        try:
            todo()
        finally:
            connection.close()

    def run(sender, **_) -> None:
        if waiting:
            thread = threading.Thread(target=work, args=[waiting.pop()])
            thread.start()
            thread.join()

    post_delete.connect(run, sender=CalendarToken, weak=False, dispatch_uid="test")
    yield waiting
    post_delete.disconnect(sender=CalendarToken, dispatch_uid="test")


def test_a_task_given_to_a_person_who_is_being_deleted_belongs_to_nobody(before_the_row_goes):
    person = User.objects.create(username="leaving")
    new_token(user=person)
    task = TaskFactory()
    before_the_row_goes.append(lambda: services.update_task(task=task, assignee=User.objects.get(pk=person.pk)))

    delete_person(person=User.objects.get(pk=person.pk))

    assert not before_the_row_goes and not User.objects.filter(pk=person.pk).exists()
    assert Task.objects.get().assignee is None
    assert task.history.count() == 3  # created, assigned, unassigned


def test_what_is_given_to_somebody_else_while_a_person_is_deleted_stays_theirs():
    person, other = User.objects.create(username="leaving"), User.objects.create(username="staying")
    task, project = TaskFactory(assignee=person), ProjectFactory(owner=person)

    def give() -> None:
        with transaction.atomic():
            services.update_project(project=project, owner=other)
            services.update_task(task=task, assignee=other)

    raised = interleave(give, lambda: delete_person(person=User.objects.get(pk=person.pk)), after=6)[1]

    assert raised == []
    task.refresh_from_db()
    project.refresh_from_db()
    assert (task.assignee, project.owner) == (other, other)
