"""The list of tasks of all projects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from core.admin.deletion import DeletionAdmin
from core.admin.row_history import RowHistoryAdmin
from core.rest.snapshots import SnapshotLists
from core.sorting import by_name
from core.timezones import today
from projects import export, services
from projects.admin.calendar import CalendarAdmin
from projects.admin.task_page import TaskPagesAdmin
from projects.models import Task


class DueFilter(admin.SimpleListFilter):
    title = "due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("overdue", "Overdue"), ("today", "Due today"), ("none", "No date")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        now = timezone.now()
        if self.value() == "overdue":
            return queryset.overdue(now)
        if self.value() == "today":
            begin, end = today()
            return queryset.open().filter(due_date__gte=begin, due_date__lt=end)
        return queryset.filter(due_date=None) if self.value() == "none" else queryset


@admin.register(Task)
class TaskAdmin(CalendarAdmin, TaskPagesAdmin, DeletionAdmin, RowHistoryAdmin, SnapshotLists, ModelAdmin):
    list_display = ["titled", "in_project", "state", "due", "assignee", "rank", *Task.PLAIN]
    list_filter = [
        ("project", RelatedDropdownFilter),
        ("status", ChoicesDropdownFilter),
        DueFilter,
        ("assignee", RelatedDropdownFilter),
        ("priority", ChoicesDropdownFilter),
    ]
    list_filter_submit = True
    list_per_page = 50
    search_fields = ["title", "description"]
    search_help_text = "Title or description"
    actions = ["make_pending", "make_in_progress", "make_completed"]
    change_list_template = "projects/task_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.export))
        return [path("export/", view, name="projects_task_export"), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Return the list as CSV, with its filters, search and ordering, without its pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:projects_task_changelist"))
        return export.as_csv(found)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        return super().get_queryset(request).for_reading().ranked()

    @display(description="Title", ordering=by_name("title"))
    def titled(self, task: Task) -> str:
        return task.title

    @display(description="Project", ordering=by_name("project__name"))
    def in_project(self, task: Task) -> str:
        return render_to_string("projects/task_project.html", {"task": task})

    @display(description="State", ordering="status")
    def state(self, task: Task) -> str:
        return render_to_string("projects/task_state.html", {"task": task})

    @display(description="Due", ordering=F("due_date").asc(nulls_last=True))
    def due(self, task: Task) -> str:
        return render_to_string("projects/task_due.html", {"task": task})

    @display(description="Priority", ordering="priority_rank")
    def rank(self, task: Task) -> str:
        return task.get_priority_display().capitalize()

    # --- Actions on the selected rows -----------------------------------------------------------
    @admin.action(description="Make pending", permissions=["change"])
    def make_pending(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._give_status(request, queryset, Task.Status.PENDING)

    @admin.action(description="Put in progress", permissions=["change"])
    def make_in_progress(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._give_status(request, queryset, Task.Status.IN_PROGRESS)

    @admin.action(description="Complete", permissions=["change"])
    def make_completed(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._give_status(request, queryset, Task.Status.COMPLETED)

    def _give_status(self, request: HttpRequest, queryset: QuerySet[Task], status: str) -> None:
        changed = services.update_tasks(ids=queryset.values_list("pk", flat=True), status=status, actor=request.user)
        words = f"{changed:,} task{'' if changed == 1 else 's'} changed to {Task.Status(status).label.lower()}."
        self.message_user(request, words, "success")

    def delete_model(self, request: HttpRequest, obj: Task) -> None:
        services.delete_task(task=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        services.delete_tasks(ids=queryset.values_list("pk", flat=True), actor=request.user)
