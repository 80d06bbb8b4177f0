"""The most used lists with 100,000 tasks: each reads an index, whatever the page size."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from projects.demo.fake import create_fake_projects
from projects.models import Comment, Project, Task

pytestmark = pytest.mark.django_db
MOMENT = "%Y-%m-%dT%H:%M:%SZ"
PROJECTS, TASKS = 1_000, 110  # tasks per project


def rows_query(api, address: str) -> str:
    """Request the list. Return the SQL query that fetched the page's rows."""
    with CaptureQueriesContext(connection) as captured:
        assert api.get(address).status_code == 200
    return [query["sql"] for query in captured if re.search(r'FROM "projects_.* LIMIT \d+', query["sql"])][-1]


def plan_of(query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query.replace("%", "%%"), [])
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.fixture
def a_hundred_thousand(planner) -> dict[str, object]:
    create_fake_projects(PROJECTS, TASKS)
    # Postgres assumes that every task has an assignee and divides by the number of users, so some must exist.
    User.objects.bulk_create(User(username=f"person-{number}") for number in range(200))
    project = Project.objects.order_by("pk")[PROJECTS // 2]
    Task.objects.filter(project=project, status="pending").update(assignee=planner)
    task = Task.objects.latest("pk")
    talked_about = Task.objects.values_list("pk", flat=True)[:200]
    Comment.objects.bulk_create(Comment(task_id=pk, author="a", content="b") for pk in talked_about for _ in range(20))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE projects_project, projects_task, projects_comment, auth_user")
    assert Task.objects.count() > 100_000
    now = timezone.now()
    moments = {"now": f"{now:{MOMENT}}", "later": f"{now + timedelta(hours=3):{MOMENT}}"}
    return {"project": project.pk, "task": task.pk, **moments}


HOT = {
    "/projects/": "projects_project_pkey",
    "/tasks/": "projects_task_pkey",
    "/tasks/?project={project}": "projects_task_board",
    "/tasks/?project={project}&status=pending": "projects_task_board",
    "/tasks/?project={project}&status=pending&ordering=due_date": "projects_task_board",
    "/tasks/?assignee=paula&status=pending": "projects_task_assignee",
    "/tasks/?ordering=due_date": "projects_task_due",
    "/tasks/?due_after={now}&due_before={later}": "projects_task_due",
    "/tasks/{task}/comments/": "projects_comment_by_task",
}


@pytest.mark.timeout(300)  # creating the rows takes a while on a busy machine
def test_every_hot_list_reads_an_index(a_hundred_thousand, planner_api):
    plans = {address: plan_of(rows_query(planner_api, address.format(**a_hundred_thousand))) for address in HOT}

    for address, index in HOT.items():
        assert index in plans[address], f"{address}\n{plans[address]}"
        assert "Seq Scan on projects_task" not in plans[address], f"{address}\n{plans[address]}"


@pytest.mark.parametrize("address", ["/projects/", "/tasks/", "/tasks/?status=pending&ordering=-priority"])
def test_a_page_of_fifty_asks_as_often_as_a_page_of_one(address, planner, planner_api):
    create_fake_projects(60, 4)
    Task.objects.update(assignee=planner)
    Project.objects.update(owner=planner)

    def queries(size: int) -> int:
        separator = "&" if "?" in address else "?"
        with CaptureQueriesContext(connection) as captured:
            page = planner_api.get(f"{address}{separator}page_size={size}").json()
        assert len(page["results"]) == size
        return len(captured)

    queries(2)  # fills the cache of the caller's permissions

    assert queries(1) == queries(50) == 2  # the count and the rows
