"""The task page, its form and comments, and the task list."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from live.models import OutboxMessage
from projects import services
from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Comment, Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return TaskFactory(title="Draw the banner", due_date=datetime(2031, 1, 15, 9, 30, 12, tzinfo=UTC))


def page_of(task: Task) -> str:
    return f"/admin/projects/task/{task.pk}/change/"


def form_of(client, task: Task) -> dict[str, str]:
    """Return what a browser would submit for the page's unchanged form."""
    form = client.get(page_of(task)).context["form"]
    sent = {}
    for field in form:
        value = field.value()
        shown = field.field.widget.format_value(value) if hasattr(field.field.widget, "format_value") else value
        shown = shown[0] if isinstance(shown, list) else shown
        sent[field.html_name] = sent[field.html_initial_name] = "" if shown is None else str(shown)
    return sent


def test_a_new_task_is_of_normal_priority_unless_somebody_says_otherwise(as_planner, task):
    page = as_planner.get("/admin/projects/task/add/", {"project": task.project_id})

    assert page.context["form"]["priority"].value() == "normal"
    assert '<option value="normal" selected>' in page.content.decode()


# --- Changing -----------------------------------------------------------------------------------------
def test_an_untouched_form_changes_nothing(as_planner, task):
    as_planner.post(page_of(task), form_of(as_planner, task))

    assert not OutboxMessage.objects.exists()
    assert Task.objects.get().due_date == task.due_date


def test_a_change_is_stored_with_who_made_it_and_told(as_planner, planner, task):
    answer = as_planner.post(page_of(task), form_of(as_planner, task) | {"title": "Draw two banners"}, follow=True)

    task.refresh_from_db()
    assert task.title == "Draw two banners"
    assert task.history.first().history_user == planner
    assert OutboxMessage.objects.filter(topic="projects", type="task.updated").count() == 1
    assert "Draw the banner → Draw two banners" in answer.content.decode()


def test_what_somebody_else_changed_meanwhile_stays(as_planner, task):
    form = form_of(as_planner, task)
    services.update_task(task=task, status="in_progress")

    as_planner.post(page_of(task), form | {"priority": "high"})

    task.refresh_from_db()
    assert (task.status, task.priority) == ("in_progress", "high")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 256),
        ("status", "lost"),
        ("due_date", "tomorrow"),
        ("assignee", "999"),
        ("due_date", "0001-01-01T00:00"),
        ("due_date", "1969-12-31T09:00"),
        ("due_date", "9999-12-31T23:59"),
        ("due_date", "3000-01-02T09:00"),
    ],
)
def test_a_refused_form_says_why_and_keeps_what_was_typed(as_planner, task, field, value):
    form = form_of(as_planner, task) | {"description": "typed for an hour", field: value}

    page = as_planner.post(page_of(task), form).content.decode()

    assert "What you typed is kept" in page and 'class="projects-error"' in page
    assert "typed for an hour" in page
    assert Task.objects.get().description == ""


def test_a_due_date_is_read_and_shown_in_the_viewers_zone(as_planner, task):
    as_planner.cookies["opsroom_zone"] = "Europe%2FBerlin"

    page = as_planner.get(page_of(task)).content.decode()
    as_planner.post(page_of(task), form_of(as_planner, task) | {"due_date": "2031-07-01T12:00"})

    assert page.count('value="2031-01-15T10:30"') == 2 and "Europe/Berlin" in page
    assert Task.objects.get().due_date == datetime(2031, 7, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "x" * 100, "%00", "Europe"])
def test_a_zone_that_is_none_is_the_houses(as_planner, task, zone):
    as_planner.cookies["opsroom_zone"] = zone

    assert form_of(as_planner, task)["due_date"] == "2031-01-15T09:30"


def test_a_viewer_reads_and_cannot_write(as_viewer, task):
    page = as_viewer.get(page_of(task)).content.decode()

    assert "Draw the banner" in page and "task-form" not in page and "comment-form" not in page
    assert as_viewer.post(page_of(task), {"title": "x"}).status_code == 403
    assert as_viewer.post(f"/admin/projects/task/{task.pk}/comment/", {"content": "x"}).status_code == 403


def test_a_stranger_sees_nothing_of_a_task(as_stranger, task):
    for part in ("change", "head", "aside", "comments"):
        assert as_stranger.get(f"/admin/projects/task/{task.pk}/{part}/").status_code == 403


def test_a_task_that_is_gone_is_not_found(as_planner):
    assert as_planner.get("/admin/projects/task/999/change/").status_code == 404
    assert as_planner.get("/admin/projects/task/x/change/").status_code == 404


# --- Adding -------------------------------------------------------------------------------------------
def test_a_new_task_lands_on_its_board(as_planner):
    project = ProjectFactory()
    given = {"title": "New", "project": project.pk, "status": "pending", "priority": "low", "due_date": ""}

    answer = as_planner.post("/admin/projects/task/add/", given)

    assert answer.headers["Location"] == f"/admin/projects/project/{project.pk}/board/"
    assert project.tasks.get().priority == "low"


def test_the_form_of_a_new_task_takes_what_its_link_says(as_planner):
    page = as_planner.get("/admin/projects/task/add/?due_date=2031-02-03T17:00").content.decode()

    assert 'value="2031-02-03T17:00"' in page


# --- Comments -----------------------------------------------------------------------------------------
def test_a_comment_is_said_in_ones_own_name_and_told(as_planner, task):
    as_planner.post(f"/admin/projects/task/{task.pk}/comment/", {"content": "Fine.", "author": "somebody else"})

    comment = Comment.objects.get()
    assert (comment.author, comment.content) == ("paula", "Fine.")
    assert OutboxMessage.objects.filter(topic=f"project:{task.project_id}", type="comment.created").exists()


def test_an_empty_comment_is_refused_in_words(as_planner, task):
    answer = as_planner.post(f"/admin/projects/task/{task.pk}/comment/", {"content": "  "})

    assert "Enter a comment." in answer.content.decode()


def test_a_long_thread_begins_with_the_newest_and_can_be_shown_whole(as_planner, task):
    CommentFactory.create_batch(60, task=task)

    short = as_planner.get(page_of(task)).content.decode()
    whole = as_planner.get(page_of(task) + "?comments=all").content.decode()

    assert "10 earlier comments" in short
    assert f'href="{page_of(task)}?comments=all"' in short
    assert (short.count('class="comment"'), whole.count('class="comment"')) == (50, 60)


def said(client, task: Task, content: str, **more: str):
    """Send a comment as the page's script does."""
    return client.post(
        f"/admin/projects/task/{task.pk}/comment/", {"content": content, **more}, headers={"HX-Request": "true"}
    )


def test_a_comment_sent_by_the_pages_script_is_answered_with_the_thread_and_an_empty_form(as_planner, task):
    answer = said(as_planner, task, "Fine.").content.decode()

    assert "task-form" not in answer
    assert 'hx-swap-oob="innerHTML:#comments"' in answer
    assert '<p class="pre comment__text" dir="auto">Fine.</p>' in answer
    assert answer.split("</textarea>")[0].endswith(">")


def test_a_comment_refused_to_the_pages_script_is_still_in_its_form(as_planner, task):
    answer = said(as_planner, task, "x" * 20_001).content.decode()

    assert answer.split("</textarea>")[0].endswith("x" * 20_001)
    assert "at most 20000 characters" in answer
    assert not Comment.objects.exists()


def test_the_form_beside_a_refused_comment_saves_the_task_and_not_a_comment(as_planner, task):
    page = as_planner.post(f"/admin/projects/task/{task.pk}/comment/", {"content": ""}).content.decode()

    assert f'<form method="post" action="{page_of(task)}" class="card" id="task-form"' in page


def test_a_thread_that_is_shown_whole_stays_whole(as_planner, task):
    CommentFactory.create_batch(60, task=task)
    thread = f"/admin/projects/task/{task.pk}/comments/"

    assert as_planner.get(thread).content.decode().count('class="comment"') == 50
    whole = as_planner.get(thread, {"comments": "all"}).content.decode()
    answer = said(as_planner, task, "Fine.", comments="all").content.decode()

    for shown, count in ((whole, 60), (answer, 61)):
        assert shown.count('class="comment"') == count
        assert '<input type="hidden" name="comments" value="all">' in shown


def test_ones_own_comment_is_put_in_other_words_and_taken_back(as_planner, planner, task):
    mine, other = CommentFactory(task=task, written_by=planner), CommentFactory(task=task, author="paula")
    page = as_planner.get(page_of(task)).content.decode()
    here = f"/admin/projects/task/{task.pk}/comments/{mine.pk}/"

    assert page.count("your comment</span></button>") == 2 and f"comments/{other.pk}/" not in page
    assert mine.content in as_planner.get(here).content.decode()
    script = {"hx-request": "true"}
    answer = as_planner.post(here, {"content": "In other words"}, headers=script)
    assert "In other words" in answer.content.decode()
    assert Comment.objects.get(pk=mine.pk).content == "In other words"
    assert as_planner.post(here, {"content": "In other words"}).headers["Location"] == page_of(task)
    assert "In other words" not in as_planner.post(f"{here}delete/", headers=script).content.decode()
    assert list(Comment.objects.all()) == [other]
    told = OutboxMessage.objects.filter(topic="projects", type__startswith="comment.").order_by("id")
    assert [event.type for event in told] == ["comment.updated", "comment.deleted"]


def test_words_that_are_refused_stay_in_the_comments_form(as_planner, planner, task):
    mine = CommentFactory(task=task, written_by=planner, content="As it was")

    answer = as_planner.post(f"/admin/projects/task/{task.pk}/comments/{mine.pk}/", {"content": " "})

    assert "Enter a comment." in answer.content.decode()
    assert answer.headers["HX-Retarget"] == f"#comment-{mine.pk}"
    assert Comment.objects.get().content == "As it was"


def test_nobody_changes_what_another_has_said_or_what_they_may_not(as_planner, as_viewer, planner, viewer, task):
    others, viewers = CommentFactory(task=task, author="paula"), CommentFactory(task=task, written_by=viewer)
    elsewhere = CommentFactory(written_by=planner)
    thread = f"/admin/projects/task/{task.pk}/comments/"

    for client, comment, status in ((as_planner, others, 403), (as_viewer, viewers, 403), (as_planner, elsewhere, 404)):
        assert client.get(f"{thread}{comment.pk}/").status_code == status
        assert client.post(f"{thread}{comment.pk}/", {"content": "x"}).status_code == status
        assert client.post(f"{thread}{comment.pk}/delete/").status_code == status
    assert Comment.objects.filter(content="x").count() == 0 and Comment.objects.count() == 3


# --- The list -----------------------------------------------------------------------------------------
def test_the_list_asks_no_more_for_many_tasks(as_planner, planner, django_assert_max_num_queries):
    for project in ProjectFactory.create_batch(10):
        TaskFactory(project=project, assignee=planner)

    with django_assert_max_num_queries(16):
        as_planner.get("/admin/projects/task/")


@pytest.mark.parametrize(("due", "count"), [("overdue", 1), ("today", 1), ("none", 1)])
def test_tasks_are_found_by_when_they_are_due(as_planner, due, count):
    now = timezone.now()
    for date in (now - timedelta(days=2), now.replace(hour=23, minute=59, second=59), None):
        TaskFactory(due_date=date)

    page = as_planner.get("/admin/projects/task/", {"due": due})

    assert page.context["cl"].result_count == count


def test_the_selected_are_completed_in_one_go_and_told(as_planner):
    tasks = TaskFactory.create_batch(3)

    chosen = {"action": "make_completed", "_selected_action": [task.pk for task in tasks]}
    page = as_planner.post("/admin/projects/task/", chosen, follow=True).content.decode()

    assert "3 tasks changed to completed." in page
    assert OutboxMessage.objects.filter(topic="projects", type="task.updated").count() == 3


def test_deleted_tasks_are_told(as_planner, task):
    as_planner.post(f"/admin/projects/task/{task.pk}/delete/", {"post": "yes"})

    assert not Task.objects.exists()
    assert OutboxMessage.objects.filter(topic="projects", type="task.deleted").exists()


def test_a_deactivated_assignee_is_kept_when_something_else_is_saved(as_planner, task, viewer):
    Task.objects.update(assignee=viewer)
    viewer.is_active = False
    viewer.save(update_fields=["is_active"])

    page = as_planner.get(page_of(task)).content.decode()
    as_planner.post(page_of(task), form_of(as_planner, task) | {"title": "Another title"})

    task.refresh_from_db()
    assert (task.title, task.assignee) == ("Another title", viewer)
    assert "vic (deactivated)" in page
    assert "(deactivated)" not in as_planner.get(f"{page_of(TaskFactory())}").content.decode()


def test_texts_have_the_direction_of_their_language(as_planner, task):
    Task.objects.update(title="שלום", description="مرحبا")
    page = as_planner.get(page_of(task)).content.decode()
    board = as_planner.get(f"/admin/projects/project/{task.project_id}/board/").content.decode()

    assert '<h2 dir="auto">שלום</h2>' in page and page.count('dir="auto"') >= 4
    assert 'class="board-card__title" dir="auto"' in board


# --- The list as a file -------------------------------------------------------------------------------
EXPORT = "/admin/projects/task/export/"


def rows_of(answer) -> list[str]:
    return b"".join(answer.streaming_content).decode().splitlines()


def test_the_list_is_exported_as_it_is_filtered_and_searched_and_without_pages(as_viewer):
    project = ProjectFactory()
    TaskFactory.create_batch(60, project=project, title="Paint")
    TaskFactory(project=project, title="Draw")
    TaskFactory(title="Paint elsewhere")
    query = f"?project__id__exact={project.pk}&q=paint&o=1"
    page = as_viewer.get(f"/admin/projects/task/{query}").content.decode()

    answer = as_viewer.get(EXPORT + query)

    assert f'href="{EXPORT}?project__id__exact={project.pk}&amp;q=paint&amp;o=1"' in page
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tasks.csv"'
    found = rows_of(answer)
    assert len(found) == 61 and found[0].startswith("\ufeffid,")  # the mark by which spreadsheets recognise UTF-8


def test_an_export_is_on_the_board_and_for_who_may_see_tasks(as_viewer, as_stranger, task):
    board = as_viewer.get(f"/admin/projects/project/{task.project_id}/board/").content.decode()

    assert f'href="{EXPORT}?project__id__exact={task.project_id}"' in board
    assert as_stranger.get(EXPORT).status_code == 403
    assert as_viewer.get(f"{EXPORT}?status__exact=x&nonsense=1").status_code == 302
    assert as_viewer.post(EXPORT).status_code == 405


@pytest.mark.parametrize("model", ["task", "project", "report", "reminder"])
def test_every_list_moves_by_itself(as_planner, model):
    page = as_planner.get(f"/admin/projects/{model}/").content.decode()

    assert 'id="list-live" data-live="projects"' in page and "projects/list.js" in page
