"""Who may change a comment, and its shown author and editor: the same by REST and in the admin."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from live.models import OutboxMessage
from projects.factories import CommentFactory, TaskFactory
from projects.migrations import __name__ as migrations
from projects.models import Comment, Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return TaskFactory()


@pytest.fixture
def boss(superuser, task) -> Comment:
    """A comment written by a superuser."""
    api = APIClient()
    api.force_authenticate(superuser)
    return Comment.objects.get(pk=api.post(f"/tasks/{task.pk}/comments/", {"content": "Stop."}).json()["id"])


def thread(client: Client, task: Task) -> str:
    return client.get(f"/admin/projects/task/{task.pk}/comments/").content.decode()


def test_another_users_comment_is_changed_by_no_door(boss, task, planner_api, as_planner):
    rest = f"/tasks/{task.pk}/comments/{boss.pk}/"
    page = f"/admin/projects/task/{task.pk}/comments/{boss.pk}/"

    answers = [
        planner_api.patch(rest, {"content": "Go on."}),
        planner_api.put(rest, {"content": "Go on.", "author": "root"}),
        planner_api.patch(rest, {"author": "paula"}),
        planner_api.delete(rest),
        as_planner.get(page),
        as_planner.post(page, {"content": "Go on."}),
        as_planner.post(f"{page}delete/"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 7
    boss.refresh_from_db()
    assert (boss.content, boss.author, boss.edited_at) == ("Stop.", "root", None)
    assert "comment__own" not in thread(as_planner, task)


def test_signing_as_another_user_gives_no_rights_to_them_and_shows_who_wrote(task, planner_api, as_planner, as_viewer):
    User.objects.create_user("admin", is_staff=True).groups.add(Group.objects.get(name="planning"))
    address = f"/tasks/{task.pk}/comments/"

    made = planner_api.post(address, {"content": "Approved.", "author": "admin"}).json()

    assert (made["author"], made["written_by"]) == ("admin", "paula")
    assert "written by paula" in thread(as_viewer, task)
    other = APIClient()
    other.force_authenticate(User.objects.get(username="admin"))
    assert other.patch(f"{address}{made['id']}/", {"content": "x"}).status_code == 403
    assert planner_api.patch(f"{address}{made['id']}/", {"content": "Approved!"}).status_code == 200


def test_an_edit_is_marked_by_every_door(task, planner, planner_api, as_planner, as_viewer):
    by_rest, by_page = CommentFactory.create_batch(2, task=task, author="paula", written_by=planner, writer="paula")
    assert "edited" not in thread(as_viewer, task)

    changed = planner_api.patch(f"/tasks/{task.pk}/comments/{by_rest.pk}/", {"content": "New"}).json()
    as_planner.post(f"/admin/projects/task/{task.pk}/comments/{by_page.pk}/", {"content": "New"})

    assert changed["edited_at"] is not None and changed["edited_by"] == "paula"
    by_page.refresh_from_db()
    assert by_page.edited_at is not None and by_page.edited_by == "paula"
    assert thread(as_viewer, task).count(">edited ") == 2


def test_putting_what_was_read_is_no_edit(task, planner, planner_api):
    comment = CommentFactory(task=task, author="build server", written_by=planner, writer="paula")
    address = f"/tasks/{task.pk}/comments/{comment.pk}/"
    before = planner_api.get(address).json()

    after = planner_api.put(address, before)

    assert (after.status_code, after.json()) == (200, before)
    assert not OutboxMessage.objects.filter(type="comment.updated").exists()


def test_a_superusers_edit_of_anothers_comment_names_them_and_the_deletion_is_logged(
    task, planner, superuser, as_superuser, as_viewer
):
    comment = CommentFactory(task=task, author="paula", written_by=planner, writer="paula")
    page = f"/admin/projects/task/{task.pk}/comments/{comment.pk}/"

    as_superuser.post(page, {"content": "Removed."})
    assert " by root" in thread(as_viewer, task)
    as_superuser.post(f"{page}delete/")

    assert not Comment.objects.exists()
    assert "Deleted a comment of paula." in LogEntry.objects.get(user=superuser).get_change_message()


def test_who_wrote_is_kept_after_their_account_is_deleted_and_nobody_inherits_it(task, planner, planner_api, as_viewer):
    planner_api.post(f"/tasks/{task.pk}/comments/", {"content": "Bye.", "author": "build server"})
    planner.delete()
    namesake = User.objects.create_user("paula", is_staff=True)
    namesake.groups.add(Group.objects.get(name="planning"))
    api = APIClient()
    api.force_authenticate(namesake)

    assert "written by paula" in thread(as_viewer, task)
    assert api.delete(f"/tasks/{task.pk}/comments/{Comment.objects.get().pk}/").status_code == 403


@pytest.mark.parametrize("role", ["viewer", None])
def test_a_writer_who_lost_the_permission_changes_nothing(role, task):
    person = User.objects.create_user("former", is_staff=True)
    person.groups.set(Group.objects.filter(name=role))
    comment = CommentFactory(task=task, written_by=person)
    api = APIClient()
    api.force_authenticate(person)

    assert api.delete(f"/tasks/{task.pk}/comments/{comment.pk}/").status_code == 403


def test_old_comments_belong_to_the_user_whose_name_they_have(task, planner):
    from importlib import import_module

    mine, other = CommentFactory(task=task, author="paula"), CommentFactory(task=task, author="ann")

    with connection.cursor() as cursor:
        cursor.execute(import_module(f"{migrations}.0007_known_comment_writers").KNOWN)

    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.written_by, mine.writer, other.written_by, other.writer) == (planner, "paula", None, "")
