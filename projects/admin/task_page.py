"""The page of one task: its fields, its comments and its history. Comments and history are updated live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.admin import form_versions
from core.admin.concurrent_forms import in_words
from core.errors import RelatedRowGone
from projects import services
from projects.admin.comments import CommentsAdmin, thread_of
from projects.admin.task_form import CommentForm, TaskForm
from projects.admin.task_history import steps_of
from projects.models import Task


class TaskPagesAdmin(CommentsAdmin):
    """Mixin of the task admin: the task's pages. All writes use services, which publish the changes."""

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(never_cache(view))

        return [
            path("<int:pk>/head/", page(require_safe(self.head)), name="projects_task_head"),
            path("<int:pk>/aside/", page(require_safe(self.aside)), name="projects_task_aside"),
            path("<int:pk>/comment/", page(require_POST(self.comment)), name="projects_task_comment"),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        asked = {name: request.GET[name] for name in ("project", "status", "due_date") if name in request.GET}
        asked["priority"] = Task.Priority.NORMAL
        form = TaskForm(request.POST) if request.method == "POST" else TaskForm(initial=asked)
        if request.method == "POST" and form.is_valid():
            task = self._attempt(form, lambda: services.create_task(**form.cleaned_data, actor=request.user))
            if task is not None:
                messages.success(request, f"“{task.title}” is on the board.")
                return HttpResponseRedirect(reverse("admin:projects_project_board", args=[task.project_id]))
        # The new task has no place in the list yet.
        context = {**self._frame(request, "New task"), "opts": None, "form": form, "address": request.get_full_path()}
        return render(request, "projects/task.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the task. A POST saves the fields that differ from those shown in its form."""
        task = self._task(request, object_id)
        if request.method != "POST":
            return self._page(request, task)
        if not self.has_change_permission(request, task):
            raise PermissionDenied
        form = TaskForm(request.POST, task=task)
        if form.is_valid() and self._saved(request, task, form):
            return HttpResponseRedirect(request.path)
        return self._page(request, task, form=form)

    def comment(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add a comment in the user's own name.

        An htmx request gets the form and the thread, any other request the page.
        """
        task = self._task(request, pk)
        if not request.user.has_perm("projects.add_comment"):
            raise PermissionDenied
        form = CommentForm(request.POST)
        said = self._add_comment(request, task, form)
        if request.headers.get("HX-Request"):
            context = {**thread_of(request, task), "comment_form": None if said else form}
            return render(request, "projects/task_said.html", context)
        if said:
            return HttpResponseRedirect(f"{page_of(pk)}#comment-{said.pk}")
        return self._page(request, task, comment_form=form)

    # --- Parts updated live ---------------------------------------------------------------------
    def head(self, request: HttpRequest, pk: int) -> HttpResponse:
        return render(request, "projects/task_head.html", {"task": self._task(request, pk)})

    def aside(self, request: HttpRequest, pk: int) -> HttpResponse:
        task = self._task(request, pk)
        return render(request, "projects/task_aside.html", {"task": task, "history": steps_of(task)})

    # --- Helpers --------------------------------------------------------------------------------
    def _add_comment(self, request: HttpRequest, task: Task, form: CommentForm) -> Any:
        if not form.is_valid():
            return None
        return self._attempt(form, lambda: services.add_comment(task=task, actor=request.user, **form.cleaned_data))

    def _saved(self, request: HttpRequest, task: Task, form: TaskForm) -> bool:
        changes = form.changes()
        if not changes:
            messages.info(request, "Nothing was changed.")
            return True
        shown = shown_by(task)
        changed = (
            form_versions.conflicts(request.POST[form_versions.FIELD], shown, changes)
            if form_versions.FIELD in request.POST
            else []
        )
        if missed := [name for name in changed if name in changes]:
            self._refuse(request, task, form, missed)
            return False
        read = {name: getattr(task, name) for name in changes}
        saved = self._attempt(form, lambda: services.update_task(task=task, actor=request.user, seen=read, **changes))
        if saved is not None:
            messages.success(request, "Saved.")
        return saved is not None

    def _refuse(self, request: HttpRequest, task: Task, form: TaskForm, missed: list[str]) -> None:
        words = [
            form_versions.Change(str(form.fields[name].label or name).capitalize(), in_words(task, name))
            for name in missed
        ]
        form.add_error(None, form_versions.words_for(words, task, request.path))
        form.has_missed = True

    def _attempt(self, form: Any, write: Callable[[], Any]) -> Any:
        """Call `write` and return its result. If it raises a refusal, add that to the form's errors and return None."""
        try:
            return write()
        except (RelatedRowGone, Task.DoesNotExist) as error:
            form.add_error(None, str(error) if isinstance(error, RelatedRowGone) else "This task was deleted.")
        except services.TaskChanged:
            form.add_error(None, "Another user changed this task at the same moment. Save again.")
        return None

    def _page(
        self, request: HttpRequest, task: Task, form: TaskForm | None = None, comment_form: CommentForm | None = None
    ) -> HttpResponse:
        if form is None and self.has_change_permission(request, task):
            form = TaskForm(task=task)
        kept = request.POST.get(form_versions.FIELD) if form and form.is_bound and not form.has_missed else None
        context = {
            "seen": kept or form_versions.token_of(shown_by(task)),
            **self._frame(request, task.title),
            "address": page_of(task.pk),
            **thread_of(request, task),
            "original": task,
            "form": form,
            "comment_form": comment_form,
            "history": steps_of(task),
            "may_comment": request.user.has_perm("projects.add_comment"),
            "may_delete": self.has_delete_permission(request, task),
        }
        return render(request, "projects/task.html", context)

    def _frame(self, request: HttpRequest, title: str) -> dict[str, Any]:
        zone = timezone.get_current_timezone_name()
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "zone_words": f"Time in {zone.replace('_', ' ')}",
        }


def shown_by(task: Task) -> dict[str, Any]:
    """Return the values that the form of a task shows. Times are cut to the minute, as in the form's field."""
    values = {name: task.serializable_value(name) for name in Task.EDITABLE}
    due = task.due_date.replace(second=0, microsecond=0) if task.due_date else None
    return {**values, "due_date": due}


def page_of(pk: int) -> str:
    return reverse("admin:projects_task_change", args=[pk])
