"""File browser with the test files, their uploaders and contents; uploads."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from core.admin.dialog import ConfirmDialog, ask
from core.busy import Busy
from core.storage_failure import StorageFailure
from testrunner.admin.object_pages import page_context, page_of, run_action, visible_object
from testrunner.admin.tree import Leaf, tree_of
from testrunner.files import discovery, uploads
from testrunner.models import Root, TestFile

CHANGELIST = "admin:testrunner_testfile_changelist"


@admin.register(TestFile)
class FileAdmin(ModelAdmin):
    """Browser instead of a table, because files are in directories."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("upload/", wrap(require_POST(self.upload_view)), name="testrunner_testfile_upload"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # files are uploaded instead

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        discovery.refresh()
        context = {
            **page_context(self, request, "Test files"),
            "tree": tree_of(),
            "cannot_run_own": discovery.cannot_run_own(),
            "may_upload": request.user.has_perm("testrunner.upload_testfile"),
            "may_run": request.user.has_perm("testrunner.add_testrun"),
            "directories": uploads.directories(),
        }
        return TemplateResponse(request, "testrunner/files.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        file = self._file(request, object_id)
        try:
            text, problem = discovery.text_of(file, discovery.read(file)), ""
        except discovery.TestFileGone as gone:
            text, problem = "", str(gone)
        problem = problem or ("" if text is not None else "This file is not text, so it is not shown.")
        context = {
            **page_context(self, request, str(file), file),
            "file": file,
            "lines": (text or "").splitlines(),
            "problem": problem,
            "may_run": request.user.has_perm("testrunner.add_testrun") and not problem and file.is_python,
            "may_delete": file.root == Root.UPLOADS and self.has_delete_permission(request, file),
        }
        return TemplateResponse(request, "testrunner/file.html", context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        file = self._file(request, object_id)
        if not self.has_delete_permission(request, file):
            raise PermissionDenied
        if request.method == "POST":
            remove = partial(uploads.remove, file=file, user=request.user)
            return run_action(request, page_of(file), remove, f"{file} is deleted.", lambda _: reverse(CHANGELIST))
        text = "It can no longer be chosen. Earlier runs keep their copy. This cannot be undone."
        dialog = ConfirmDialog(f"Delete {file}?", page_of(file), "Delete the file", text, is_dangerous=True)
        return ask(request, dialog, model_admin=self, original=file)

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Accept one file from a page's script; return its row for the tree as JSON, or the error and its field."""
        if not request.user.has_perm("testrunner.upload_testfile"):
            return JsonResponse({"field": "file", "detail": "You may not upload test files."}, status=403)
        sent = request.FILES.get("file")
        if sent is None:
            return JsonResponse({"field": "file", "detail": "The request contains no file."}, status=400)
        try:
            file = uploads.upload(
                name=sent.name or "",
                directory=request.POST.get("directory", ""),
                content=sent.read(discovery.MAX_FILE_BYTES + 1),
                user=request.user,
                overwrite=request.POST.get("overwrite") == "yes",
            )
        except uploads.UploadRefused as refused:
            taken = isinstance(refused, uploads.NameTaken)
            answer = {"field": refused.field, "detail": str(refused), "taken": taken}
            return JsonResponse(answer, status=409 if taken else 400)
        except (StorageFailure, Busy) as failure:
            return JsonResponse({"field": "file", "detail": str(failure), "taken": False}, status=503)
        leaf = render_to_string("testrunner/tree_leaf.html", {"leaf": Leaf(file, is_chosen=True)}, request)
        return JsonResponse({"id": file.pk, "path": str(file), "directory": file.directory, "leaf": leaf}, status=201)

    def _file(self, request: HttpRequest, object_id: str) -> TestFile:
        file: TestFile = visible_object(self, request, object_id)
        if file.removed:
            raise Http404
        return file
