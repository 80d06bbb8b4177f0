"""Rows deleted between a request's validation and its write give a field error or a 404, never a 500."""

import pytest

from projects import services
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Project, Task

pytestmark = pytest.mark.django_db


def in_between(monkeypatch, verb: str, happens) -> None:
    """Run `happens` just before the service call, after validation has passed."""
    write = getattr(services, verb)

    def late(**given):
        happens()
        return write(**given)

    monkeypatch.setattr(services, verb, late)


def test_a_new_task_of_a_project_that_goes_meanwhile_is_refused_by_the_fields_name(planner_api, monkeypatch):
    project = ProjectFactory()
    in_between(monkeypatch, "create_task", lambda: Project.objects.all().delete())

    answer = planner_api.post("/tasks/", {"project": project.pk, "title": "Paint", "due_date": None})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["project"])


def test_a_task_moved_into_a_project_that_goes_meanwhile_stays_where_it_was(planner_api, monkeypatch):
    task, other = TaskFactory(), ProjectFactory()
    in_between(monkeypatch, "update_task", lambda: Project.objects.filter(pk=other.pk).delete())

    answer = planner_api.patch(f"/tasks/{task.pk}/", {"project": other.pk})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["project"])
    assert Task.objects.get().project_id == task.project_id


def test_an_assignee_who_goes_meanwhile_is_refused_by_the_fields_name(planner_api, monkeypatch, viewer):
    task = TaskFactory()
    in_between(monkeypatch, "update_task", lambda: type(viewer).objects.filter(pk=viewer.pk).delete())

    answer = planner_api.patch(f"/tasks/{task.pk}/", {"assignee": viewer.username})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["assignee"])


def test_an_owner_who_goes_meanwhile_is_refused_by_the_fields_name(planner_api, monkeypatch, viewer):
    project = ProjectFactory()
    for verb in ("create_project", "update_project"):
        in_between(monkeypatch, verb, lambda: type(viewer).objects.filter(username="vic").delete())
    made = planner_api.post("/projects/", {"name": "Launch", "owner": viewer.username})
    type(viewer).objects.create_user("vic")
    changed = planner_api.patch(f"/projects/{project.pk}/", {"owner": "vic"})

    for answer in (made, changed):
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["owner"])
    assert list(Project.objects.all()) == [project]


def test_the_admins_form_of_a_project_says_what_went_meanwhile(as_planner, monkeypatch, viewer):
    project = ProjectFactory(name="Before")
    page = f"/admin/projects/project/{project.pk}/change/"
    given = {"name": "After", "description": "", "owner": viewer.pk}
    in_between(monkeypatch, "update_project", lambda: type(viewer).objects.filter(pk=viewer.pk).delete())

    without_owner = as_planner.post(page, given, follow=True).content.decode()
    in_between(monkeypatch, "update_project", lambda: Project.objects.all().delete())
    without_project = as_planner.post(page, {**given, "owner": ""}, follow=True).content.decode()

    assert "This owner has been deleted. Nothing was saved." in without_owner
    assert "This project was deleted." in without_project


@pytest.mark.parametrize("method", ["patch", "put"])
def test_a_task_that_went_with_its_project_is_not_found(planner_api, monkeypatch, method):
    task = TaskFactory()
    in_between(monkeypatch, "update_task", lambda: Project.objects.all().delete())
    ask = getattr(planner_api, method)

    first = ask(f"/tasks/{task.pk}/", {"project": task.project_id, "title": "Paint", "due_date": None})
    second = ask(f"/tasks/{task.pk}/", {"project": task.project_id, "title": "Paint", "due_date": None})

    assert (first.status_code, second.status_code) == (404, 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 256),
        ("name", "a\x00b"),
        ("owner", "nobody-knows-me"),
        ("description", "x" * 20_001),
    ],
)
def test_a_projects_wrong_field_is_refused_by_its_name(planner_api, field, value):
    project = ProjectFactory()

    for answer in (
        planner_api.post("/projects/", {"name": "Launch", field: value}),
        planner_api.put(f"/projects/{project.pk}/", {"name": "Launch", field: value}),
        planner_api.patch(f"/projects/{project.pk}/", {field: value}),
    ):
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    ("field", "value"), [("content", ""), ("content", "x" * 20_001), ("author", "x" * 256), ("author", "")]
)
def test_a_comments_wrong_field_is_refused_by_its_name(planner_api, field, value):
    comment = CommentFactory()
    comments = f"/tasks/{comment.task_id}/comments/"

    for answer in (
        planner_api.post(comments, {"content": "Red?", field: value}),
        planner_api.patch(f"{comments}{comment.pk}/", {field: value}),
    ):
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_patch_takes_a_title_of_255_characters_and_a_date_with_any_zone(planner_api):
    task = TaskFactory()

    answer = planner_api.patch(f"/tasks/{task.pk}/", {"title": "ü" * 255, "due_date": "2030-01-01T09:00:00-05:30"})

    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["due_date"]) == ("ü" * 255, "2030-01-01T14:30:00Z")
