"""Names are sorted as people expect, with the collation that the database has."""

import pytest

from core.sorting import by_name
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Project

pytestmark = pytest.mark.django_db
NAMES = ["apple", "Äpfel", "Banana", "cherry", "Éclair", "eclipse", "Ökonom", "orange", "Zebra", "Жук", "лес"]


def test_names_are_ordered_without_regard_to_case_and_accents():
    for name in reversed(NAMES):
        ProjectFactory(name=name)

    assert [project.name for project in Project.objects.order_by(by_name("name"), "name")] == [
        "Äpfel", "apple", "Banana", "cherry", "Éclair", "eclipse", "Ökonom", "orange", "Zebra", "Жук", "лес",
    ]  # fmt: skip


def test_lists_by_rest_and_in_the_admin_have_this_order(planner_api, as_planner):
    project = ProjectFactory(name="b")
    for title in ("Zebra", "apple", "Banana"):
        TaskFactory(title=title, project=project)
        ProjectFactory(name=title)
    expected = ["apple", "Banana", "Zebra"]

    listed = planner_api.get("/tasks/", {"ordering": "title"}).json()["results"]
    backwards = planner_api.get("/tasks/", {"ordering": "-title"}).json()["results"]
    projects = planner_api.get("/projects/", {"ordering": "name"}).json()["results"]
    tasks = as_planner.get("/admin/projects/task/", {"o": "1"}).context["cl"].result_list

    assert [task["title"] for task in listed] == expected
    assert [task["title"] for task in backwards] == expected[::-1]
    assert [row["name"] for row in projects] == ["apple", "b", "Banana", "Zebra"]
    assert [task.title for task in tasks] == expected
