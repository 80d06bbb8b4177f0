"""Search of the command palette (Ctrl+K), besides pages.

It finds a chat by the beginning of its UUID, a task by its title, a session by its whole id, a test run by its number;
projects, applications, event types and environments by their names. It runs at every key press, so each query is
bounded, however large the tables are.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.admin.utils import quote
from django.db.models import Max, Q
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from chats.models import Chat
from events.models import Application, EventType, Session
from projects.models import Project, Task
from testrunner.models import TestEnvironment, TestRun

MIN_LENGTH = 4  # digits of a UUID: fewer match too many chats
MIN_WORD_LENGTH = 2  # letters of a name or title
MAX_DIGITS = 18  # digits of an id
MAX_RESULTS = 5  # of each kind
NEWEST = 20_000  # projects and tasks that are searched; older ones are found in their lists


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """The theme's callback: return what matches `term` and this user may see."""
    term = term.replace("\x00", "").strip()
    kinds = (_environments, _runs, _projects, _tasks, _chats, _applications, _event_types, _sessions)
    return [found for kind in kinds for found in kind(request, term)]


def _chats(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term.replace("-", "")) < MIN_LENGTH or not request.user.has_perm("chats.view_chat"):
        return
    for chat in Chat.objects.matching(term).order_by("user_uuid")[:MAX_RESULTS]:
        page = reverse("admin:chats_chat_change", args=[chat.pk])
        yield SearchResult(title=str(chat.user_uuid), description="Chat", link=page, icon="forum")


def _projects(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    # The result links to the project's board, which shows tasks.
    if len(term) < MIN_WORD_LENGTH or not request.user.has_perms(["projects.view_project", "projects.view_task"]):
        return
    newest = Project.objects.filter(pk__gt=_last(Project) - NEWEST)
    for project in newest.filter(name__icontains=term).order_by("-pk")[:MAX_RESULTS]:
        page = reverse("admin:projects_project_board", args=[project.pk])
        yield SearchResult(title=project.name, description="Project", link=page, icon="view_kanban")


def _tasks(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term) < MIN_WORD_LENGTH or not request.user.has_perm("projects.view_task"):
        return
    newest = Task.objects.filter(pk__gt=_last(Task) - NEWEST).select_related("project")
    for task in newest.filter(title__icontains=term).order_by("-pk")[:MAX_RESULTS]:
        page = reverse("admin:projects_task_change", args=[task.pk])
        words = f"Task, {task.get_status_display().lower()}: {task.project.name}"
        yield SearchResult(title=task.title, description=words, link=page, icon="task_alt")


def _applications(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    # A few dozen rows, created by hand; the same for event types.
    if len(term) < MIN_WORD_LENGTH or not request.user.has_perm("events.view_application"):
        return
    for application in Application.objects.filter(name__icontains=term)[:MAX_RESULTS]:
        page = reverse("admin:events_application_change", args=[application.pk])
        yield SearchResult(title=application.name, description="Application", link=page, icon="key")


def _event_types(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term) < MIN_WORD_LENGTH or not request.user.has_perm("events.view_eventtype"):
        return
    for kind in EventType.objects.filter(Q(name__icontains=term) | Q(category__icontains=term))[:MAX_RESULTS]:
        page = reverse("admin:events_eventtype_change", args=[kind.pk])
        yield SearchResult(title=kind.name, description=f"Event type: {kind.category}", link=page, icon="schema")


def _sessions(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if not request.user.has_perm("events.view_session"):
        return
    for session in Session.objects.filter(pk=term):
        page = reverse("admin:events_session_change", args=[quote(session.pk)])
        words = f"Session: {session.event_count:,} event{'' if session.event_count == 1 else 's'}"
        yield SearchResult(title=session.pk, description=words, link=page, icon="footprint")


def _environments(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if len(term) < MIN_WORD_LENGTH or not request.user.has_perm("testrunner.view_testenvironment"):
        return
    for environment in TestEnvironment.objects.filter(name__icontains=term)[:MAX_RESULTS]:
        page = reverse("admin:testrunner_testenvironment_change", args=[environment.pk])
        yield SearchResult(title=environment.name, description="Environment", link=page, icon="grid_view")


def _runs(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    number = term.removeprefix("#").removeprefix("run").strip()
    if not (number.isascii() and number.isdigit() and len(number) < MAX_DIGITS):
        return
    if not request.user.has_perm("testrunner.view_testrun"):
        return
    for run in TestRun.objects.filter(pk=int(number)).select_related("environment").defer("junit_xml"):
        page = reverse("admin:testrunner_testrun_change", args=[run.pk])
        words = f"{run.get_status_display().capitalize()}, in {run.environment}"
        yield SearchResult(title=str(run), description=words, link=page, icon="science")


def _last(model: type[Project] | type[Task]) -> int:
    """Return the newest id, which the primary key's index gives at once."""
    return model.objects.aggregate(last=Max("pk"))["last"] or 0
