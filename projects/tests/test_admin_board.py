"""The board: cards in columns. Moving needs the permission to change tasks, viewing the permission to view them."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from live.models import OutboxMessage
from projects import services
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Project, Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return ProjectFactory(name="Autumn sale")


@pytest.fixture
def task(project: Project) -> Task:
    return TaskFactory(project=project, title="Draw the banner")


def address(name: str, project: Project) -> str:
    return reverse(f"admin:projects_project_{name}", args=[project.pk])


def board(client, project: Project, query: str = "") -> str:
    return client.get(address("board", project) + query).content.decode()


# --- Viewing ------------------------------------------------------------------------------------------
def test_a_card_says_what_is_late_in_a_word_and_how_much_was_said(as_planner, project, planner):
    late = TaskFactory(project=project, due_date=timezone.now() - timedelta(days=1), assignee=planner, priority="high")
    CommentFactory.create_batch(2, task=late)

    page = board(as_planner, project)

    assert "Overdue" in page and "1 overdue" in page
    assert "2<span" in page and "paula" in page and "High" in page


def test_a_completed_task_is_never_late(as_planner, project):
    TaskFactory(project=project, due_date=timezone.now() - timedelta(days=1), completed=True)

    assert "Overdue" not in board(as_planner, project)


def test_the_progress_is_of_the_whole_project_whatever_the_filter(as_planner, project, task):
    TaskFactory(project=project, completed=True)

    page = board(as_planner, project, "?q=banner")

    assert "1 of 2" in page
    assert page.count('class="board-card ') + page.count('class="board-card"') == 1


@pytest.mark.parametrize("assignee", ["me", "nobody", "1e9", "x", "9" * 30])
def test_a_filter_of_any_kind_is_an_answer(as_planner, project, task, assignee):
    assert as_planner.get(address("cards", project), {"assignee": assignee, "q": "\x00 %_"}).status_code == 200


def test_the_board_asks_as_often_for_many_cards_as_for_one(as_planner, project, django_assert_max_num_queries):
    for task in TaskFactory.create_batch(20, project=project):
        CommentFactory(task=task)

    with django_assert_max_num_queries(20):
        board(as_planner, project)


def test_a_viewer_sees_the_cards_and_no_handles(as_viewer, project, task):
    page = board(as_viewer, project)

    assert "Draw the banner" in page
    assert 'draggable="true"' not in page and "data-to=" not in page and "board-add" not in page


def test_a_title_cannot_bring_a_script(as_planner, project):
    TaskFactory(project=project, title='"><script>alert(1)</script>')

    assert "<script>alert" not in board(as_planner, project)


def test_a_stranger_sees_nothing(as_stranger, project):
    for name in ("board", "cards"):
        assert as_stranger.get(address(name, project)).status_code == 403


def test_a_project_that_is_gone_is_not_found(as_planner):
    assert as_planner.get("/admin/projects/project/999/board/").status_code == 404


# --- Moving -------------------------------------------------------------------------------------------
def test_a_moved_card_is_stored_with_who_moved_it_and_told_to_the_watchers(as_planner, planner, project, task):
    answer = as_planner.post(address("move", project), {"task": task.pk, "status": "completed"})

    assert answer.status_code == 200
    task.refresh_from_db()
    assert task.status == "completed" and task.completed_at is not None
    assert task.history.first().history_user == planner
    assert OutboxMessage.objects.filter(topic=f"project:{project.pk}", type="task.updated").exists()


def test_a_card_is_not_moved_from_a_column_where_it_is_no_longer(as_planner, project, task):
    move = {"task": task.pk, "status": "completed", "from": "in_progress"}

    early = as_planner.post(address("move", project), move)
    first = as_planner.post(address("move", project), {**move, "status": "in_progress", "from": "pending"})
    second = as_planner.post(address("move", project), move)

    assert (early.status_code, first.status_code, second.status_code) == (409, 200, 200)
    assert "Another user moved it meanwhile." in early.json()["detail"]
    task.refresh_from_db()
    assert task.status == "completed"


def test_a_viewer_cannot_move_nor_add(as_viewer, project, task):
    moved = as_viewer.post(address("move", project), {"task": task.pk, "status": "completed"})
    added = as_viewer.post(address("add_card", project), {"title": "x", "status": "pending"})

    assert (moved.status_code, added.status_code) == (403, 403)
    assert "not move" in moved.json()["detail"]
    assert Task.objects.get().status == "pending"


@pytest.mark.parametrize(
    ("given", "status"),
    [({"status": "lost"}, 400), ({"task": "999"}, 404), ({"task": "x" * 50}, 404), ({"task": ""}, 404)],
)
def test_a_move_that_cannot_be_is_refused_in_words(as_planner, project, task, given, status):
    answer = as_planner.post(address("move", project), {"task": task.pk, "status": "completed", **given})

    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")
    task.refresh_from_db()
    assert task.status == "pending"


def test_a_card_of_another_project_is_not_moved_here(as_planner, project):
    other = TaskFactory()

    answer = as_planner.post(address("move", project), {"task": other.pk, "status": "completed"})

    assert answer.status_code == 404


def test_a_move_needs_the_token_of_the_page(planner, project, task):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(planner)

    assert client.post(address("move", project), {"task": task.pk, "status": "completed"}).status_code == 403
    assert client.get(address("move", project)).status_code == 405


# --- Adding -------------------------------------------------------------------------------------------
def test_a_card_is_added_to_the_column_it_was_written_in(as_planner, project):
    answer = as_planner.post(address("add_card", project), {"title": " Order keys ", "status": "in_progress"})

    assert answer.status_code == 200
    assert list(project.tasks.values_list("title", "status")) == [("Order keys", "in_progress")]


@pytest.mark.parametrize("title", ["", "   ", "x" * 256, "nul\x00"])
def test_a_title_that_cannot_be_is_refused_in_words(as_planner, project, title):
    answer = as_planner.post(address("add_card", project), {"title": title, "status": "pending"})

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not Task.objects.exists()


# --- The list of projects -----------------------------------------------------------------------------
def test_the_list_shows_progress_and_what_is_late_in_few_queries(as_planner, django_assert_max_num_queries):
    for project in ProjectFactory.create_batch(15):
        TaskFactory(project=project, completed=True)
        TaskFactory(project=project, due_date=timezone.now() - timedelta(days=1))

    with django_assert_max_num_queries(14):
        page = as_planner.get("/admin/projects/project/").content.decode()

    assert page.count("1 of 2") == 15 and page.count("1 overdue") == 15


def test_an_empty_list_says_what_belongs_here(as_planner):
    assert "No projects yet" in as_planner.get("/admin/projects/project/").content.decode()


def test_a_project_is_made_and_changed_through_the_services(as_planner, planner):
    as_planner.post("/admin/projects/project/add/", {"name": "Move", "description": "", "owner": planner.pk})
    project = Project.objects.get()
    as_planner.post(f"/admin/projects/project/{project.pk}/change/", {"name": "Moving", "description": "", "owner": ""})

    project.refresh_from_db()
    assert (project.name, project.owner) == ("Moving", None)
    assert list(OutboxMessage.objects.filter(topic="projects").order_by("id").values_list("type", flat=True)) == [
        "project.created",
        "project.updated",
    ]


def test_a_viewers_project_is_its_board(as_viewer, project):
    answer = as_viewer.get(f"/admin/projects/project/{project.pk}/change/")

    assert answer.headers["Location"] == address("board", project)


def test_a_deleted_project_tells_the_watchers_of_its_tasks(as_planner, project, task):
    as_planner.post(f"/admin/projects/project/{project.pk}/delete/", {"post": "yes"})

    assert not Project.objects.exists()
    assert OutboxMessage.objects.filter(topic="projects", type="task.deleted").exists()


# --- The project's form -------------------------------------------------------------------------------
def form_of(client, path: str) -> dict[str, str]:
    """Return what a browser would submit for the page's unchanged form."""
    page = client.get(path)
    values = {field: field.value() for field in page.context["adminform"].form}
    sent = {name: values[field] for field in values for name in (field.html_name, field.html_initial_name)}
    return {name: value or "" for name, value in sent.items() if f'name="{name}"' in page.content.decode()}


def test_what_somebody_else_changed_meanwhile_stays(as_planner, project):
    form = form_of(as_planner, address("change", project))
    services.update_project(project=project, name="Winter sale")

    as_planner.post(address("change", project), form | {"description": "Everything must go."})

    project.refresh_from_db()
    assert (project.name, project.description) == ("Winter sale", "Everything must go.")
