"""What the command palette (Ctrl+K) finds beside the pages: a chat by how its UUID begins, a project by its name, a
task by its title. Asked with every key that is pressed, so each look is bounded, however long the tables are.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Max
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from chats.models import Chat
from projects.models import Project, Task

SHORTEST = 4  # digits: fewer fit too many chats to mean one
SHORTEST_WORD = 2  # letters of a name or title
MOST = 5  # of each kind
NEWEST = 20_000  # projects and tasks that are looked through; older ones are found in their lists


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """The theme's callback: what `term` may mean, of what this person may see."""
    term = term.replace("\x00", "").strip()
    return [*_projects(request, term), *_tasks(request, term), *_chats(request, term)]


def _chats(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term.replace("-", "")) < SHORTEST or not request.user.has_perm("chats.view_chat"):
        return
    for chat in Chat.objects.matching(term).order_by("user_uuid")[:MOST]:
        page = reverse("admin:chats_chat_change", args=[chat.pk])
        yield SearchResult(title=str(chat.user_uuid), description="Chat", link=page, icon="forum")


def _projects(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    # A project leads to its board, which shows tasks.
    if len(term) < SHORTEST_WORD or not request.user.has_perms(["projects.view_project", "projects.view_task"]):
        return
    newest = Project.objects.filter(pk__gt=_last(Project) - NEWEST)
    for project in newest.filter(name__icontains=term).order_by("-pk")[:MOST]:
        page = reverse("admin:projects_project_board", args=[project.pk])
        yield SearchResult(title=project.name, description="Project", link=page, icon="view_kanban")


def _tasks(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term) < SHORTEST_WORD or not request.user.has_perm("projects.view_task"):
        return
    newest = Task.objects.filter(pk__gt=_last(Task) - NEWEST).select_related("project")
    for task in newest.filter(title__icontains=term).order_by("-pk")[:MOST]:
        page = reverse("admin:projects_task_change", args=[task.pk])
        words = f"Task, {task.get_status_display().lower()}: {task.project.name}"
        yield SearchResult(title=task.title, description=words, link=page, icon="task_alt")


def _last(model: type[Project] | type[Task]) -> int:
    """The newest id: from the primary key, in no time."""
    return model.objects.aggregate(last=Max("pk"))["last"] or 0
