"""The comment thread of a task, updated live. Users can edit and delete their own comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import reswap, retarget

from core.admin import form_versions
from core.rest.snapshots import one_snapshot
from projects import services
from projects.admin.task_form import CommentForm
from projects.models import Comment, Task

MAX_COMMENTS = 50
GONE = "This comment was deleted."


class CommentsAdmin(ModelAdmin):
    """Mixin of the task admin: the comment thread's HTML fragments."""

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(never_cache(view))

        edit = require_http_methods(["GET", "HEAD", "POST"])(self.edit_comment)
        return [
            path("<int:pk>/comments/", page(require_safe(self.comments)), name="projects_task_comments"),
            path("<int:pk>/comments/<int:comment>/", page(edit), name="projects_task_edit_comment"),
            path(
                "<int:pk>/comments/<int:comment>/delete/",
                page(require_POST(self.delete_comment)),
                name="projects_task_delete_comment",
            ),
            *super().get_urls(),
        ]

    def comments(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the thread."""
        return self._told(request, self._task(request, pk))

    def edit_comment(self, request: HttpRequest, pk: int, comment: int) -> HttpResponse:
        """GET returns a form in the comment's place; POST returns the thread, or the form with its errors."""
        task = self._task(request, pk)
        mine = _own(request, task, comment, "change")
        if request.method != "POST":
            return _form(request, mine, CommentForm(initial={"content": mine.content}))
        form = CommentForm(request.POST)
        if form.is_valid() and form_versions.changed_since(
            request.POST.get(form_versions.FIELD) or _token(mine), _shown_by(mine)
        ):
            _refuse(form, task, mine)
        if not form.is_valid():
            return _form_in_place(request, mine, form)
        content = form.cleaned_data["content"]
        try:
            services.update_comment(comment=mine, actor=request.user, content=content, seen=mine.content)
        except Comment.DoesNotExist:
            return self._told(request, task, GONE)
        except services.TaskChanged:
            mine = _own(request, task, comment, "change")
            _refuse(form, task, mine)
            return _form_in_place(request, mine, form)
        return self._told(request, task)

    def delete_comment(self, request: HttpRequest, pk: int, comment: int) -> HttpResponse:
        """Delete the comment and return the thread."""
        task = self._task(request, pk)
        services.delete_comment(comment=_own(request, task, comment, "delete"), actor=request.user)
        return self._told(request, task)

    def _told(self, request: HttpRequest, task: Task, note: str = "") -> HttpResponse:
        context = thread_of(request, task)
        if not context["may_read_comments"]:
            raise PermissionDenied
        if request.method == "POST" and not request.headers.get("HX-Request"):
            if note:
                messages.warning(request, note)
            return HttpResponseRedirect(reverse("admin:projects_task_change", args=[task.pk]))
        return render(request, "projects/task_thread.html", {**context, "note": note})

    def _task(self, request: HttpRequest, pk: int | str) -> Task:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not str(pk).isdecimal() or len(str(pk)) > 18:
            raise Http404
        task = Task.objects.for_reading().filter(pk=pk).first()
        if task is None:
            raise Http404("This task was deleted.")
        return task


def thread_of(request: HttpRequest, task: Task) -> dict[str, Any]:
    """Return the template context with the latest MAX_COMMENTS comments, or all if `comments=all` is requested."""
    found = task.comments.order_by("-id")
    is_whole = "all" in (request.GET.get("comments"), request.POST.get("comments"))
    with one_snapshot():
        shown = list(found if is_whole else found[: MAX_COMMENTS + 1])
        more = not is_whole and len(shown) > MAX_COMMENTS
        earlier = found.count() - MAX_COMMENTS if more else 0
    return {
        "task": task,
        "comments": [
            (comment, comment.may_be_changed_by(request.user))
            for comment in reversed(shown[:MAX_COMMENTS] if more else shown)
        ],
        "earlier": earlier,
        "is_whole": is_whole,
        "may_read_comments": request.user.has_perm("projects.view_comment"),
        "may_change_own": request.user.has_perm("projects.change_comment"),
        "may_delete_own": request.user.has_perm("projects.delete_comment"),
    }


def _own(request: HttpRequest, task: Task, pk: int, verb: str) -> Comment:
    """Return a comment that the user may change or delete, depending on `verb`. Raises PermissionDenied otherwise."""
    comment = get_object_or_404(Comment.objects.filter(task=task), pk=pk)
    if not (comment.may_be_changed_by(request.user) and request.user.has_perm(f"projects.{verb}_comment")):
        raise PermissionDenied
    return comment


def _refuse(form: CommentForm, task: Task, comment: Comment) -> None:
    """Add the form error for a comment whose text was changed after the form was opened."""
    change = form_versions.Change("Comment", Truncator(comment.content).chars(200))
    form.add_error(None, form_versions.words_for([change], task, reverse("admin:projects_task_change", args=[task.pk])))
    form.has_missed = True


def _form_in_place(request: HttpRequest, comment: Comment, form: CommentForm) -> HttpResponse:
    return reswap(retarget(_form(request, comment, form), f"#comment-{comment.pk}"), "outerHTML")


def _form(request: HttpRequest, comment: Comment, form: CommentForm) -> HttpResponse:
    kept = request.POST.get(form_versions.FIELD) if form.is_bound and not form.has_missed else None
    context = {"comment": comment, "form": form, "seen": kept or _token(comment)}
    return render(request, "projects/task_comment_edit.html", context)


def _token(comment: Comment) -> str:
    return form_versions.token_of(_shown_by(comment))


def _shown_by(comment: Comment) -> dict[str, Any]:
    return {"content": comment.content}
