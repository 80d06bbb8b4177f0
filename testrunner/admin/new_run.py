"""Page to start a run: choice of files, environment and time limit. Uploaded files can be chosen at once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from testrunner import services
from testrunner.admin.object_pages import page_context
from testrunner.admin.tree import tree_of
from testrunner.files import discovery, uploads
from testrunner.models import RunNotAllowed, TestEnvironment, TestFile, TestRun
from testrunner.queue import queue_status


class NewRunForm(forms.Form):
    environment = forms.ModelChoiceField(
        TestEnvironment.objects.all(), error_messages={"required": "Choose an environment."}
    )
    tests = forms.ModelMultipleChoiceField(
        TestFile.objects.existing().filter(path__endswith=".py"),
        error_messages={
            "required": "Choose at least one test file.",
            "invalid_choice": "One of the chosen files was deleted. Choose again.",
        },
    )
    requested_by = forms.CharField(required=False, max_length=255)
    minutes = forms.IntegerField(required=False, min_value=1)
    request_key = forms.UUIDField(required=False)

    def clean_minutes(self) -> int | None:
        minutes = self.cleaned_data["minutes"]
        most = settings.TESTRUN_MAX_SECONDS // 60
        if minutes is not None and minutes > most:
            raise forms.ValidationError(f"Enter at most {most} minutes.")
        return minutes


class NewRunAdmin(ModelAdmin):
    """Mixin for the runs' admin: the page behind "New run"."""

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        discovery.refresh()
        form = NewRunForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid() and (run := self._start(request, form)) is not None:
            return self._redirect(request, run)
        return TemplateResponse(request, "testrunner/new_run.html", self._context(request, form))

    def _start(self, request: HttpRequest, form: NewRunForm) -> TestRun | None:
        given = form.cleaned_data
        try:
            return services.start_run(
                user=request.user,
                environment=given["environment"],
                files=discovery.snapshots(given["tests"]),
                requested_by=given["requested_by"],
                wall_seconds=given["minutes"] and given["minutes"] * 60,
                request_key=given["request_key"],
            )
        except (discovery.TestFileGone, RunNotAllowed) as refused:
            form.add_error("minutes" if isinstance(refused, services.InvalidTimeLimit) else "tests", str(refused))
            return None

    def _redirect(self, request: HttpRequest, run: TestRun) -> HttpResponse:
        if "watch" in request.POST:
            return HttpResponseRedirect(reverse("admin:testrunner_testrun_change", args=[run.pk]))
        queue_status.add_to_runs([run])
        place: Any = run
        waits = f"position {place.position}" if place.position and place.position > 1 else "next in line"
        messages.success(request, f"Run {run.pk} is queued in {run.environment}: {waits}.")
        return HttpResponseRedirect(reverse("admin:testrunner_testrun_changelist"))

    def _context(self, request: HttpRequest, form: NewRunForm) -> dict[str, Any]:
        chosen = set(request.POST.getlist("tests")) if request.method == "POST" else set(request.GET.getlist("file"))
        environments = list(TestEnvironment.objects.select_related("reserved_by").prefetch_related("variables"))
        queue_status.add_to_environments(environments)
        queue_status.add_new_run_positions(environments, request.user)
        return {
            **page_context(self, request, "New run"),
            "form": form,
            "environments": environments,
            # Not "environment", because the theme shows that one in its header.
            "place": request.POST.get("environment") or request.GET.get("environment", ""),
            "tree": tree_of(chosen),
            "given": request.POST,
            "cannot_run_own": discovery.cannot_run_own(),
            "request_key": request.POST.get("request_key") or uuid4(),
            "may_upload": request.user.has_perm("testrunner.upload_testfile"),
            "directories": uploads.directories(),
            "default_minutes": settings.TESTRUN_DEFAULT_SECONDS // 60,
            "most_minutes": settings.TESTRUN_MAX_SECONDS // 60,
        }
