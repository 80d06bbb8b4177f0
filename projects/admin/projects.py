"""The project list, with each project's progress and number of overdue tasks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR
from django.db.models import Count, Q
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from core.admin.concurrent_forms import ConcurrentFormsAdmin
from core.admin.deletion import DeletionAdmin
from core.admin.row_history import RowHistoryAdmin
from core.errors import RelatedRowGone
from core.rest.snapshots import SnapshotLists
from core.sorting import by_name
from projects import services
from projects.admin.board import BoardAdmin
from projects.admin.cache_page import cache_page
from projects.admin.mails import mails_page
from projects.models import Project, Task

FIELDS = ["name", "description", "owner"]


class ProjectList(ChangeList):
    """Changelist that finds the page's rows first and then counts tasks for these rows only."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        page = [project.pk for project in self.result_list]
        late = Q(tasks__due_date__lt=timezone.now()) & ~Q(tasks__status=Task.Status.COMPLETED)
        counted = Project.objects.with_counts().annotate(overdue_count=Count("tasks", filter=late))
        found = counted.select_related("owner").in_bulk(page)
        self.result_list = [found[pk] for pk in page if pk in found]


@admin.register(Project)
class ProjectAdmin(ConcurrentFormsAdmin, BoardAdmin, DeletionAdmin, RowHistoryAdmin, SnapshotLists, ModelAdmin):
    list_display = ["named", "owner", "progress", "overdue", "updated"]
    list_display_links = None  # the name links to the board
    list_per_page = 50
    list_filter = ["owner"]
    search_fields = ["name", "description"]
    search_help_text = "Name or description"
    fields = [*FIELDS]
    change_list_template = "projects/project_list.html"

    def get_urls(self) -> list[URLPattern]:
        cache = self.admin_site.admin_view(require_safe(cache_page))
        mails = self.admin_site.admin_view(require_safe(mails_page))
        return [
            path("cache/", cache, name="projects_project_cache"),
            path("mails/", mails, name="projects_project_mails"),
            *super().get_urls(),
        ]

    # --- The list -------------------------------------------------------------------------------
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ProjectList]:
        return ProjectList

    @display(description="Project", ordering=by_name("name"))
    def named(self, project: Project) -> str:
        board = reverse("admin:projects_project_board", args=[project.pk])
        return format_html('<a class="link" href="{}">{}</a>', board, project.name)

    @display(description="Progress")
    def progress(self, project: Project) -> str:
        done = project.task_count - project.open_count
        percent = done * 100 // project.task_count if project.task_count else 0
        return render_to_string(
            "projects/project_progress.html", {"project": project, "done": done, "percent": percent}
        )

    @display(description="Overdue")
    def overdue(self, project: Project) -> str:
        return render_to_string("projects/project_overdue.html", {"count": project.overdue_count})

    @display(description="Updated", ordering="updated_at")
    def updated(self, project: Project) -> str:
        return render_to_string("projects/when.html", {"moment": project.updated_at, "style": "ago"})

    # --- One project ----------------------------------------------------------------------------
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect users who may not change the project to its board."""
        project = self.get_object(request, object_id)
        if project is not None and self.has_view_permission(request) and not self.has_change_permission(request):
            return HttpResponseRedirect(reverse("admin:projects_project_board", args=[project.pk]))
        return super().change_view(request, object_id, form_url, extra_context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form, or an error message if a row it names was deleted while it was submitted."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RelatedRowGone as gone:
            self.message_user(request, f"{gone} Nothing was saved.", "error")
            return HttpResponseRedirect(request.get_full_path())
        except Project.DoesNotExist:
            self.message_user(request, "This project was deleted.", "error")
            return HttpResponseRedirect(reverse("admin:projects_project_changelist"))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a form field with its initial value hidden in the page, so that unchanged fields are not written."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.show_hidden_initial = request.method != "POST" or f"initial-{db_field.name}" in request.POST
        return field

    def save_model(self, request: HttpRequest, obj: Project, form: ModelForm, change: bool) -> None:
        """Save through the services, which publish the change."""
        given = {name: form.cleaned_data[name] for name in FIELDS}
        if change:
            services.update_project(
                project=obj, actor=request.user, **{name: given[name] for name in form.changed_data}
            )
            return
        created = services.create_project(**given, actor=request.user)
        obj.__dict__.update(created.__dict__)

    def delete_model(self, request: HttpRequest, obj: Project) -> None:
        services.delete_project(project=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for project in queryset:
            services.delete_project(project=project, actor=request.user)

    def response_add(self, request: HttpRequest, obj: Project, post_url_continue: str | None = None) -> HttpResponse:
        return self._to_board(request, obj, "The project is created. Add its first tasks.") or super().response_add(
            request, obj, post_url_continue
        )

    def response_change(self, request: HttpRequest, obj: Project) -> HttpResponse:
        return self._to_board(request, obj, "The project is saved.") or super().response_change(request, obj)

    def _to_board(self, request: HttpRequest, project: Project, words: str) -> HttpResponse | None:
        if {"_addanother", "_continue", IS_POPUP_VAR} & set(request.POST):
            return None
        self.message_user(request, words, "success")
        return HttpResponseRedirect(reverse("admin:projects_project_board", args=[project.pk]))
