"""The REST API of projects as a client uses it: every path, every method."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from live.models import OutboxMessage
from projects import services
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Comment, Project, Report

pytestmark = pytest.mark.django_db
TOTALS = {
    "total": 1, "pending": 1, "in_progress": 0, "completed": 0, "due_today": 0, "overdue": 0, "done_yesterday": 0
}  # fmt: skip


def ids(api, address: str) -> list[int]:
    answer = api.get(address)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


@pytest.fixture
def everything(planner) -> dict[str, int]:
    comment = CommentFactory(written_by=planner)
    Report.objects.create(date="2030-01-01", data={"totals": TOTALS, "projects": []})
    return {"project": comment.task.project_id, "task": comment.task_id, "comment": comment.pk}


PATHS = {
    "/projects/": {"get", "post"},
    "/projects/{project}/": {"get", "put", "patch", "delete"},
    "/tasks/": {"get", "post"},
    "/tasks/{task}/": {"get", "put", "patch", "delete"},
    "/tasks/export/": {"get"},
    "/tasks/{task}/comments/": {"get", "post"},
    "/tasks/{task}/comments/{comment}/": {"get", "put", "patch", "delete"},
    "/reports/": {"get"},
    "/reports/2030-01-01/": {"get"},
    "/calendar/token/": {"post", "delete"},
}
ANSWERS = {"get": 200, "post": 201, "put": 200, "patch": 200, "delete": 204}
OWN = {"/calendar/token/"}  # each user's own, for users who may view tasks
MATRIX = [(path, method) for path in PATHS for method in ANSWERS]


@pytest.mark.parametrize(("path", "method"), MATRIX)
def test_every_path_answers_each_method_as_documented(
    path, method, everything, planner_api, viewer_api, stranger_api, anon_api
):
    address = path.format(**everything)
    body = {"project": everything["project"], "title": "Paint", "due_date": None}
    if "comments" in path:
        body = {"content": "Red?"}
    elif "projects" in path:
        body = {"name": "Launch"}
    elif "calendar" in path:
        body = {}

    def ask(api) -> int:
        answer = getattr(api, method)(address, *([body] if method in ("post", "put", "patch") else []))
        if answer.streaming:
            answer.getvalue()  # otherwise its cursor would be closed in the middle of another test
        return answer.status_code

    assert ask(anon_api) == 401
    assert ask(stranger_api) in (403, 405)
    if method not in PATHS[path]:
        assert ask(planner_api) in (403, 405)
        return
    if method != "get" and path not in OWN:
        assert ask(viewer_api) == 403
    else:
        assert ask(viewer_api) == ANSWERS[method]
    assert ask(planner_api) == ANSWERS[method]


def test_a_project_lives_its_life(planner_api, planner):
    made = planner_api.post("/projects/", {"name": "Launch", "owner": "paula"})
    address = f"/projects/{made.json()['id']}/"

    assert made.status_code == 201
    assert made.json()["owner"] == "paula"
    assert made.json()["description"] == ""
    assert planner_api.get(address).json() == made.json()
    assert planner_api.patch(address, {"description": "In May"}).json()["description"] == "In May"
    assert planner_api.put(address, {"name": "Start"}).json()["name"] == "Start"
    assert planner_api.delete(address).status_code == 204
    assert planner_api.get(address).status_code == 404
    history = Project.history.order_by("pk").values_list("history_type", "history_user__username")
    assert list(history) == [("+", "paula"), ("~", "paula"), ("~", "paula"), ("-", "paula")]


def test_a_task_lives_its_life(planner_api, planner):
    project = ProjectFactory()
    made = planner_api.post("/tasks/", {"project": project.pk, "title": "Paint", "due_date": "2030-01-01T09:00+02:00"})
    address = f"/tasks/{made.json()['id']}/"

    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["status"], body["priority"], body["due_date"]) == ("pending", "normal", "2030-01-01T07:00:00Z")

    done = planner_api.patch(address, {"status": "completed", "assignee": "paula"}).json()
    assert done["assignee"] == "paula"
    assert done["completed_at"] == done["updated_at"]
    assert planner_api.patch(address, {"status": "in_progress"}).json()["completed_at"] is None
    assert (
        planner_api.put(address, {"project": project.pk, "title": "Varnish", "due_date": None}).json()["title"]
        == "Varnish"
    )
    assert planner_api.delete(address).status_code == 204
    assert planner_api.get(address).status_code == 404


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_due_date_must_be_given_and_null_says_there_is_none(planner_api, method):
    task = TaskFactory()
    address = "/tasks/" if method == "post" else f"/tasks/{task.pk}/"
    body = {"project": task.project_id, "title": "Paint"}

    missing = getattr(planner_api, method)(address, body)
    none = getattr(planner_api, method)(address, body | {"due_date": None})

    assert (missing.status_code, list(missing.json()["errors"])) == (400, ["due_date"])
    assert (none.status_code, none.json()["due_date"]) == ({"post": 201, "put": 200}[method], None)


def test_comments_are_by_the_caller_unless_they_name_somebody(planner_api):
    task = TaskFactory()
    address = f"/tasks/{task.pk}/comments/"

    mine = planner_api.post(address, {"content": "Red?"}).json()
    others = planner_api.post(address, {"content": "Blue!", "author": "build server"}).json()

    assert (mine["author"], others["author"], mine["task"]) == ("paula", "build server", task.pk)
    assert ids(planner_api, address) == [mine["id"], others["id"]]
    first = planner_api.get(address, {"page_size": 1}).json()
    assert [first["results"][0]["id"], ids(planner_api, first["next"])] == [mine["id"], [others["id"]]]
    assert planner_api.patch(f"{address}{mine['id']}/", {"content": "Green"}).json()["content"] == "Green"
    assert planner_api.delete(f"{address}{mine['id']}/").status_code == 204
    assert planner_api.get(f"/tasks/{TaskFactory().pk}/comments/{others['id']}/").status_code == 404
    assert planner_api.get("/tasks/999999999/comments/").status_code == 404
    assert planner_api.post("/tasks/999999999/comments/", {"content": "x"}).status_code == 404
    assert Comment.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "  "),
        ("title", "x" * 256),
        ("title", "a\x00b"),
        ("status", "lost"),
        ("priority", "urgent"),
        ("due_date", "tomorrow"),
        ("due_date", "2030-01-01T09:00:00"),
        ("due_date", "2030-13-01T09:00:00Z"),
        ("due_date", "0001-01-01T00:00:00+14:00"),
        ("due_date", "1969-12-31T23:59:59Z"),
        ("due_date", "3000-01-01T00:00:00Z"),
        ("due_date", "9999-12-31T23:59:59Z"),
        ("project", 999_999_999),
        ("project", 10**30),
        ("project", "x"),
        ("project", None),
        ("assignee", "nobody-knows-me"),
        ("description", "x" * 20_001),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(planner_api, field, value):
    task = TaskFactory()

    answers = [
        planner_api.post("/tasks/", {"project": task.project_id, "title": "Paint", "due_date": None, field: value}),
        planner_api.patch(f"/tasks/{task.pk}/", {field: value}),
    ]

    for answer in answers:
        assert answer.status_code == 400, answer.content
        assert list(answer.json()["errors"]) == [field]


def test_255_characters_are_a_title(planner_api):
    project = ProjectFactory()

    assert planner_api.post("/tasks/", {"project": project.pk, "title": "ü" * 255, "due_date": None}).status_code == 201
    assert "name" in planner_api.post("/projects/", {"name": "x" * 256}).json()["errors"]
    assert planner_api.post("/projects/", {"name": "x" * 255}).status_code == 201


def test_tasks_are_filtered(planner_api, planner):
    now = timezone.now()
    late = TaskFactory(title="Late 100%", due_date=now - timedelta(days=1), assignee=planner)
    soon = TaskFactory(title="Soon", due_date=now + timedelta(days=1), status="in_progress", priority="high")
    done = TaskFactory(title="Done", due_date=now - timedelta(days=2), completed=True)
    never = TaskFactory(title="Whenever", description="no hurry")

    def found(query: str) -> list[int]:
        return sorted(ids(planner_api, f"/tasks/?{query}"))

    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found("") == [late.pk, soon.pk, done.pk, never.pk]
    assert found(f"project={soon.project_id}") == [soon.pk]
    assert found("status=pending") == [late.pk, never.pk]
    assert found("status=pending&status=completed") == [late.pk, done.pk, never.pk]
    assert found("priority=high") == [soon.pk]
    assert found("assignee=paula") == [late.pk]
    assert found("assignee=none") == [soon.pk, done.pk, never.pk]
    assert found(f"due_before={moment}") == [late.pk, done.pk]
    assert found(f"due_after={moment}") == [soon.pk]
    assert found("overdue=true") == [late.pk]
    assert found("overdue=false") == [soon.pk, done.pk, never.pk]
    assert found("search=HURRY") == [never.pk]
    assert found("search=100%25") == [late.pk]
    assert found("project=99999999") == []


def test_projects_are_filtered_and_ordered(planner_api, planner):
    hers = ProjectFactory(name="Zebra crossing", owner=planner)
    other = ProjectFactory(name="Apple pie", description="100% butter")
    last = ProjectFactory(name="middle")
    services.update_project(project=hers, description="changed last")

    def found(query: str) -> list[int]:
        return ids(planner_api, f"/projects/?{query}")

    assert found("") == [last.pk, other.pk, hers.pk]
    assert found("owner=paula") == [hers.pk]
    assert found("owner=nobody") == []
    assert found("search=CROSSING") == [hers.pk]
    assert found("search=100%25") == [other.pk]
    assert found("ordering=id") == [hers.pk, other.pk, last.pk]
    assert found("ordering=created_at") == [hers.pk, other.pk, last.pk]
    assert found("ordering=-updated_at")[0] == hers.pk
    names = [other.pk, last.pk, hers.pk]  # sorted as people expect: Apple, middle, Zebra
    assert found("ordering=name") == names and found("ordering=-name") == names[::-1]
    assert found("owner=paula&search=zebra&ordering=-name&page_size=1") == [hers.pk]


@pytest.mark.parametrize("query", ["ordering=secret", "search=%00", "owner=%00", "page=0", "page=x"])
def test_a_filter_of_projects_that_makes_no_sense_is_refused(planner_api, query):
    assert planner_api.get(f"/projects/?{query}").status_code == (404 if "page" in query else 400)


@pytest.mark.parametrize(
    "query",
    ["status=lost", "project=x", "project=1e400", "project=99999999999999999999", "due_before=x", "ordering=-secret",
     "search=%00", "project=-1", "due_before=0520-03-15T00:37:55%2B19:55"],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_400(planner_api, query):
    assert planner_api.get(f"/tasks/?{query}").status_code == 400


def test_tasks_are_ordered_and_those_without_a_date_come_last(planner_api):
    second = TaskFactory(title="b", due_date=datetime(2030, 1, 2, tzinfo=UTC), priority="high")
    first = TaskFactory(title="a", due_date=datetime(2030, 1, 1, tzinfo=UTC), priority="low")
    last = TaskFactory(title="c")

    assert ids(planner_api, "/tasks/") == [last.pk, first.pk, second.pk]
    assert ids(planner_api, "/tasks/?ordering=due_date") == [first.pk, second.pk, last.pk]
    assert ids(planner_api, "/tasks/?ordering=-due_date") == [second.pk, first.pk, last.pk]
    assert ids(planner_api, "/tasks/?ordering=-priority") == [second.pk, last.pk, first.pk]
    assert ids(planner_api, "/tasks/?ordering=priority,title") == [first.pk, last.pk, second.pk]


def test_lists_come_in_pages_by_number(planner_api):
    project = ProjectFactory()
    TaskFactory.create_batch(5, project=project)

    first = planner_api.get("/tasks/?page_size=2&ordering=title").json()
    second = planner_api.get(first["next"]).json()

    assert first["count"] == 5
    assert not {row["id"] for row in first["results"]} & {row["id"] for row in second["results"]}
    assert planner_api.get("/tasks/?page=9").status_code == 404


def test_a_list_takes_few_queries_however_long_it_is(planner_api, django_assert_max_num_queries):
    TaskFactory.create_batch(20)

    with django_assert_max_num_queries(5):  # permissions, count, rows
        assert len(ids(planner_api, "/tasks/")) == 20


def test_reports_are_read_by_day(planner_api, everything):
    assert planner_api.get("/reports/2030-01-01/").json()["totals"] == TOTALS
    assert [row["date"] for row in planner_api.get("/reports/").json()["results"]] == ["2030-01-01"]
    assert planner_api.get("/reports/2030-01-02/").status_code == 404
    assert planner_api.get("/reports/2030-02-31/").status_code == 404


def test_the_export_is_a_spreadsheet_in_which_nothing_computes(planner_api):
    task = TaskFactory(title='=HYPERLINK("http://evil.example")', due_date=datetime(2030, 1, 1, tzinfo=UTC))
    TaskFactory(status="in_progress")

    answer = planner_api.get("/tasks/export/?status=pending", headers={"Accept": "text/csv"})

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert lines[0].startswith("\ufeffid,project,title")  # the mark by which spreadsheets recognise UTF-8
    assert len(lines) == 2
    assert f"{task.pk}," in lines[1]
    assert "\"'=HYPERLINK(" in lines[1]
    assert "2030-01-01T00:00:00+00:00" in lines[1]


@pytest.mark.parametrize("kind", ["projects", "tasks"])
def test_putting_what_was_read_changes_nothing(kind, planner, planner_api):
    project = ProjectFactory(owner=planner, description="First\r\nsecond \n")
    due = timezone.now().replace(microsecond=123456)
    task = TaskFactory(project=project, assignee=planner, description=" Fails again.\n", due_date=due)
    row = {"projects": project, "tasks": task}[kind]
    before, versions = planner_api.get(f"/{kind}/{row.pk}/").json(), row.history.count()

    after = planner_api.put(f"/{kind}/{row.pk}/", before)

    assert (after.status_code, after.json()) == (200, before)
    assert row.history.count() == versions and not OutboxMessage.objects.exists()
