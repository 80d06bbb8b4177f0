"""The board page of a project: three columns of cards that are moved by hand and updated live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.errors import RelatedRowGone
from core.numerals import number
from core.rest.snapshots import one_snapshot
from projects import services
from projects.admin.json_responses import error_response, no_content, people
from projects.admin.task_form import CardForm
from projects.models import Project, Task

MAX_CARDS = 100  # per column; the rest is in the task list
WORDS = {Task.Status.PENDING: "Pending", Task.Status.IN_PROGRESS: "In progress", Task.Status.COMPLETED: "Completed"}
STATUSES = list(WORDS)


@dataclass(frozen=True)
class Move:
    """A card's button that moves it to a neighbouring column."""

    status: str
    word: str
    icon: str


@dataclass(frozen=True)
class Column:
    status: str
    word: str
    tasks: list[Task]
    count: int

    @property
    def more(self) -> int:
        return self.count - len(self.tasks)

    @property
    def moves(self) -> list[Move]:
        at = STATUSES.index(Task.Status(self.status))
        before = [Move(each, WORDS[each], "arrow_back") for each in STATUSES[max(at - 1, 0) : at]]
        return before + [Move(each, WORDS[each], "arrow_forward") for each in STATUSES[at + 1 : at + 2]]


@dataclass(frozen=True)
class Filter:
    """The board's card filter: a text in title or description, and an assignee.

    `assignee` is "me", a user id, "" for all, or the URL value for tasks without an assignee.
    """

    text: str
    assignee: str

    @classmethod
    def of(cls, request: HttpRequest) -> Filter:
        assignee = request.GET.get("assignee", "")
        known = assignee in ("me", "nobody") or (assignee.isascii() and assignee.isdigit() and len(assignee) < 18)
        return cls(request.GET.get("q", "").replace("\x00", "").strip()[:200], assignee if known else "")

    @property
    def is_on(self) -> bool:
        return bool(self.text or self.assignee)

    def apply(self, tasks: QuerySet[Task], request: HttpRequest) -> QuerySet[Task]:
        if self.text:
            tasks = tasks.filter(Q(title__icontains=self.text) | Q(description__icontains=self.text))
        if self.assignee == "nobody":
            return tasks.filter(assignee=None)
        if self.assignee:
            return tasks.filter(assignee=request.user.pk if self.assignee == "me" else int(self.assignee))
        return tasks


class BoardAdmin(ModelAdmin):
    """Mixin of the project admin: the board page and its requests."""

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(view)

        return [
            path("<int:pk>/board/", page(require_safe(self.board)), name="projects_project_board"),
            path("<int:pk>/board/cards/", page(never_cache(require_safe(self.cards))), name="projects_project_cards"),
            path("<int:pk>/board/move/", page(require_POST(self.move)), name="projects_project_move"),
            path("<int:pk>/board/add/", page(require_POST(self.add_card)), name="projects_project_add_card"),
            *super().get_urls(),
        ]

    def board(self, request: HttpRequest, pk: int) -> HttpResponse:
        project = self._project(request, pk)
        context = {
            **self.admin_site.each_context(request),
            **self._cards(request, project),
            "title": project.name,
            "opts": self.opts,
            "original": project,
            "people": people(),
            "may_edit_project": self.has_change_permission(request, project),
        }
        return render(request, "projects/board.html", context)

    def cards(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with everything on the board that other users may have changed."""
        return render(request, "projects/board_cards.html", self._cards(request, self._project(request, pk)))

    def move(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set the status of the card `task` to its new column, if it is still in the column `from`."""
        if not request.user.has_perm("projects.change_task"):
            return error_response("You may look at this board, but not move its cards.", 403)
        status = request.POST.get("status", "")
        if status not in Task.Status.values:
            return error_response("There is no such column.")
        try:
            task = Task.objects.get(pk=number(request.POST.get("task", "")), project=pk)
            services.move_task(task=task, status=status, seen=request.POST.get("from"), actor=request.user)
        except Task.DoesNotExist:
            return error_response("It was deleted or moved to another project.", 404)
        except services.TaskChanged:
            return error_response("Another user moved it meanwhile.", 409)
        return no_content()

    def add_card(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add a task with a title to the column in which the card was written."""
        if not request.user.has_perm("projects.add_task"):
            return error_response("You may look at this board, but not add cards.", 403)
        form = CardForm(request.POST)
        if not form.is_valid():
            return error_response(" ".join(str(error) for errors in form.errors.values() for error in errors))
        try:
            services.create_task(project=Project.objects.get(pk=pk), actor=request.user, **form.cleaned_data)
        except (Project.DoesNotExist, RelatedRowGone):
            return error_response("This project was deleted.", 404)
        return no_content()

    def _project(self, request: HttpRequest, pk: int) -> Project:
        project = Project.objects.select_related("owner").filter(pk=pk).first()
        if project is None:
            raise Http404
        if not (self.has_view_permission(request, project) and request.user.has_perm("projects.view_task")):
            raise PermissionDenied
        return project

    def _cards(self, request: HttpRequest, project: Project) -> dict[str, Any]:
        with one_snapshot():  # without a snapshot, a card moved meanwhile could be in two columns, or in neither
            return self._columns(request, project)

    def _columns(self, request: HttpRequest, project: Project) -> dict[str, Any]:
        which = Filter.of(request)
        shown = which.apply(project.tasks.all(), request)
        counts = dict(shown.order_by().values_list("status").annotate(Count("id")))
        return {
            "project": project,
            "filter": which,
            "columns": [_column(shown, status, counts.get(status, 0)) for status in STATUSES],
            "progress": progress_of(project),
            "may_move": request.user.has_perm("projects.change_task"),
            "may_add": request.user.has_perm("projects.add_task"),
        }


def progress_of(project: Project) -> dict[str, int]:
    """Count a project's tasks: `total`, `done`, `overdue`, and `percent`, which is 100 only if all are done."""
    late = Q(due_date__lt=timezone.now()) & ~Q(status=Task.Status.COMPLETED)
    counts = project.tasks.aggregate(
        total=Count("id"), done=Count("id", filter=Q(status=Task.Status.COMPLETED)), overdue=Count("id", filter=late)
    )
    return {**counts, "percent": counts["done"] * 100 // counts["total"] if counts["total"] else 0}


def _column(tasks: QuerySet[Task], status: str, count: int) -> Column:
    """Return a column with its first cards: by due date, or in the last column by completion, newest first."""
    order = [F("completed_at").desc()] if status == Task.Status.COMPLETED else [F("due_date").asc(nulls_last=True)]
    cards = tasks.filter(status=status).select_related("assignee").order_by(*order, "-id")[:MAX_CARDS]
    return Column(status, WORDS[Task.Status(status)], list(cards.annotate(comment_count=Count("comments"))), count)
