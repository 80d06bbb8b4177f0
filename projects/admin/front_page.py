"""Projects on the front page and in the command palette: due tasks, and the last daily report."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Max
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import SearchResult

from core.registry import MAX_SEARCH_RESULTS, Card
from core.rest.snapshots import one_snapshot
from core.timezones import today
from projects.models import Project, Report, Task

MAX_DUE = 6  # tasks; the others are in the list
MIN_LETTERS = 2  # of a search
NEWEST = 20_000  # projects and tasks that are searched; older ones are found in their lists


def due(request: HttpRequest) -> Card | None:
    """Open tasks that are overdue, or due today in the viewer's time zone."""
    if not request.user.has_perm("projects.view_task"):
        return None
    now = timezone.now()
    found = Task.objects.open().filter(due_date__lt=today()[1])
    with one_snapshot():
        tasks = list(found.for_reading().order_by("due_date", "id")[:MAX_DUE])
        counts = {"late": found.overdue(now).count(), "count": found.count()}
    return Card("projects/cards/due.html", {"tasks": tasks, **counts})


def report(request: HttpRequest) -> Card | None:
    """The totals of the last daily report."""
    last = Report.objects.first() if request.user.has_perm("projects.view_report") else None
    return Card("projects/cards/report.html", {"report": last, "totals": last.data["totals"]}) if last else None


def search_projects(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find new projects by their names. The result links to the project's board, which shows tasks."""
    if len(term) < MIN_LETTERS or not request.user.has_perms(["projects.view_project", "projects.view_task"]):
        return
    newest = Project.objects.filter(pk__gt=_last(Project) - NEWEST)
    for project in newest.filter(name__icontains=term).order_by("-pk")[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:projects_project_board", args=[project.pk])
        yield SearchResult(title=project.name, description="Project", link=page, icon="view_kanban")


def search_tasks(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find new tasks by their titles."""
    if len(term) < MIN_LETTERS or not request.user.has_perm("projects.view_task"):
        return
    newest = Task.objects.filter(pk__gt=_last(Task) - NEWEST).select_related("project")
    for task in newest.filter(title__icontains=term).order_by("-pk")[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:projects_task_change", args=[task.pk])
        words = f"Task, {task.get_status_display().lower()}: {task.project.name}"
        yield SearchResult(title=task.title, description=words, link=page, icon="task_alt")


def _last(model: type[Project] | type[Task]) -> int:
    """Return the newest id, which the primary key's index gives at once."""
    return model.objects.aggregate(last=Max("pk"))["last"] or 0
