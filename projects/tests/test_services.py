"""The services: rows, completed_at, history and messages are always written together."""

import json
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from core.errors import RelatedRowGone
from live.models import OutboxMessage
from projects import services
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Comment, Project, Task
from projects.reports import generate_report

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str, dict]]:
    """The published messages: topic, type, data."""
    return [(event.topic, event.type, json.loads(event.data)) for event in OutboxMessage.objects.order_by("id")]


def test_a_new_task_is_told_to_both_topics(planner):
    project = ProjectFactory()

    task = services.create_task(project=project, title="Paint", assignee=planner, actor=planner)

    assert [(topic, type) for topic, type, _ in told()] == [
        ("projects", "task.created"), (f"project:{project.pk}", "task.created")
    ]  # fmt: skip
    data = told()[0][2]
    assert (data["id"], data["title"], data["status"], data["assignee"]) == (task.pk, "Paint", "pending", "paula")
    assert task.history.get().history_user == planner


def test_an_update_tells_what_changed_from_what_to_what(planner):
    task = TaskFactory(title="Paint", priority="low")

    changed = services.update_task(task=task, actor=planner, title="Paint", status="completed", assignee=planner)

    assert changed.completed_at == changed.updated_at
    assert told()[0][2]["changes"] == {"status": ["pending", "completed"], "assignee": [None, "paula"]}
    assert task.history.first().history_user == planner
    assert task.history.first().status == "completed"


def test_an_update_that_changes_nothing_writes_and_tells_nothing():
    task = TaskFactory()
    before = Task.objects.get(pk=task.pk).updated_at

    services.update_task(task=task, title=task.title, status="pending")

    task.refresh_from_db()
    assert task.updated_at == before
    assert told() == []


def test_a_task_keeps_the_moment_at_which_it_was_completed():
    moment = timezone.now() - timedelta(days=3)
    task = TaskFactory(status="completed", completed_at=moment)
    other = TaskFactory()

    services.update_tasks(ids=[task.pk, other.pk], status="completed", priority="high")

    task.refresh_from_db()
    other.refresh_from_db()
    assert task.completed_at == moment
    assert other.completed_at > moment
    assert services.move_task(task=task, status="in_progress").completed_at is None


def test_a_thousand_tasks_change_in_a_handful_of_statements(planner, django_assert_max_num_queries):
    project = ProjectFactory()
    Task.objects.bulk_create(Task(project=project, title=str(number)) for number in range(1_000))

    with django_assert_max_num_queries(15):
        changed = services.update_tasks(
            ids=project.tasks.values_list("pk", flat=True), actor=planner, status="completed"
        )

    assert changed == 1_000
    assert OutboxMessage.objects.filter(topic="projects", type="task.updated").count() == 1_000
    assert Task.history.filter(history_type="~", history_user=planner).count() == 1_000
    assert not project.tasks.filter(completed_at=None).exists()
    assert services.update_tasks(ids=project.tasks.values_list("pk", flat=True), status="completed") == 0


def test_a_task_that_moves_is_told_to_both_projects(planner):
    task, other = TaskFactory(), ProjectFactory()

    services.update_task(task=task, project=other)

    assert {topic for topic, _, _ in told()} == {"projects", f"project:{task.project_id}", f"project:{other.pk}"}
    assert told()[0][2]["changes"] == {"project": [task.project_id, other.pk]}


def test_what_is_no_field_of_a_task_is_refused():
    with pytest.raises(ValueError, match="completed_at"):
        services.update_task(task=TaskFactory(), completed_at=None)
    with pytest.raises(ValueError, match="not a status"):
        services.move_task(task=TaskFactory(), status="lost")
    with pytest.raises(ValueError, match="created_at"):
        services.update_project(project=ProjectFactory(), created_at=None)


def test_a_deleted_project_says_good_bye_with_its_tasks():
    comment = CommentFactory()
    project = comment.task.project

    services.delete_project(project=project)
    services.delete_project(project=project)

    assert [type for topic, type, _ in told() if topic == "projects"] == ["task.deleted", "project.deleted"]
    assert not Project.objects.exists() and not Task.objects.exists() and not Comment.objects.exists()


def test_tasks_are_deleted_together_and_told_each():
    tasks = TaskFactory.create_batch(3)

    assert services.delete_tasks(ids=[task.pk for task in tasks]) == 3
    assert services.delete_tasks(ids=[task.pk for task in tasks]) == 0

    assert [type for topic, type, _ in told() if topic == "projects"] == ["task.deleted"] * 3


def test_the_history_of_a_deleted_task_says_who_deleted_it(planner):
    task, other, third = TaskFactory.create_batch(3)

    services.delete_task(task=task, actor=planner)
    services.delete_tasks(ids=[other.pk])
    services.delete_project(project=other.project)
    services.delete_project(project=third.project, actor=planner)

    last = Task.history.filter(history_type="-").order_by("id")
    assert [record.history_user for record in last] == [planner, None, planner]


def test_what_belonged_to_somebody_who_is_deleted_is_nobodys_and_told(planner):
    task = TaskFactory(assignee=planner, project=ProjectFactory(owner=planner))
    TaskFactory()

    planner.delete()

    assert [(type, data["id"]) for topic, type, data in told() if topic == "projects"] == [
        ("project.updated", task.project_id), ("task.updated", task.pk)
    ]  # fmt: skip
    changes = [data["changes"] for topic, type, data in told() if type == "task.updated"]
    assert changes[0] == {"assignee": ["paula", None]}
    assert task.history.first().assignee_id is None


def test_a_comment_is_told_when_it_comes_changes_and_goes(planner):
    task = TaskFactory()

    comment = services.add_comment(task=task, content="🎨" * 5_000, actor=planner)
    services.update_comment(comment=comment, content="Red")
    services.delete_comment(comment=comment)

    mine = [(type, data) for topic, type, data in told() if topic == f"project:{task.project_id}"]
    which = {"id": comment.pk, "task": task.pk, "project": task.project_id}
    assert mine == [("comment.created", which), ("comment.updated", which), ("comment.deleted", which)]


def test_who_may_view_tasks_only_hears_nothing_of_what_else_there_is_to_read(planner):
    project = services.create_project(name="Launch", description="secret plan", owner=planner)
    services.update_project(project=project, description="secret plan B", owner=None)
    services.add_comment(task=TaskFactory(project=project), content="secret words", author="secret author")
    generate_report()

    assert [type for topic, type, _ in told() if topic == "projects"] == [
        "project.created", "project.updated", "comment.created", "report.generated"
    ]  # fmt: skip
    words = str([data for _, _, data in told()])
    assert "secret" not in words and "paula" not in words and "total" not in words


def test_the_largest_change_is_still_a_message():
    task = TaskFactory(title="😀" * 255, description="😀" * 20_000)

    services.update_task(task=task, title="🎉" * 255, description="🎉" * 20_000)

    assert len(told()) == 2


def test_nothing_is_told_of_what_was_rolled_back():
    with transaction.atomic():
        services.create_task(project=ProjectFactory(), title="Never")
        transaction.set_rollback(True)

    assert told() == []


def test_what_belongs_to_something_deleted_is_refused_and_not_at_the_commit(planner):
    comment = CommentFactory()
    task, project, other = comment.task, comment.task.project, TaskFactory()
    nobody = User.objects.get(pk=planner.pk)
    Project.objects.filter(pk=project.pk).delete()
    planner.delete()

    with pytest.raises(RelatedRowGone, match="project"):
        services.create_task(project=project, title="Paint")
    with pytest.raises(RelatedRowGone, match="project"):
        services.update_task(task=other, project=project)
    with pytest.raises(RelatedRowGone, match="task"):
        services.add_comment(task=task, content="Hm", author="ann")
    with pytest.raises(RelatedRowGone, match="This owner has been deleted"):
        services.create_project(name="x", owner=nobody)
    with pytest.raises(RelatedRowGone, match="This owner has been deleted"):
        services.update_project(project=other.project, owner=nobody)
    with pytest.raises(RelatedRowGone, match="This assignee has been deleted"):
        services.create_task(project=other.project, title="Paint", assignee=nobody)
    with pytest.raises(Task.DoesNotExist):
        services.update_task(task=task, title="x")
    with pytest.raises(Comment.DoesNotExist):
        services.update_comment(comment=comment, content="x")


@pytest.mark.django_db(transaction=True)
def test_two_who_change_one_task_at_the_same_moment_both_do():
    task = TaskFactory()
    start = threading.Barrier(2, timeout=10)

    def change(**fields) -> None:
        start.wait()
        try:
            services.update_task(task=task, **fields)
        finally:
            connection.close()

    people = [threading.Thread(target=change, kwargs=fields) for fields in ({"status": "completed"}, {"title": "New"})]
    for person in people:
        person.start()
    for person in people:
        person.join()

    task.refresh_from_db()
    assert (task.status, task.title) == ("completed", "New")


@pytest.mark.django_db(transaction=True)
def test_tasks_added_while_their_project_is_deleted_are_gone_or_refused():
    project = ProjectFactory()
    start, outcomes = threading.Barrier(4, timeout=10), []

    def add() -> None:
        start.wait()
        try:
            for _ in range(5):
                services.create_task(project=project, title="Late")
        except RelatedRowGone:
            outcomes.append("gone")
        finally:
            connection.close()

    adders = [threading.Thread(target=add) for _ in range(3)]
    for adder in adders:
        adder.start()
    start.wait()
    services.delete_project(project=project)
    for adder in adders:
        adder.join()

    assert not Task.objects.exists()
    assert len(outcomes) <= 3
