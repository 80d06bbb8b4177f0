"""Page of one run: progress, log, results and actions."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.admin.dialog import ConfirmDialog, ask
from testrunner import services
from testrunner.admin.object_pages import page_context, page_of, run_action, visible_object
from testrunner.models import FailureTask, TestResult, TestRun
from testrunner.queue import queue_status
from testrunner.records.downloads import junit_response, log_response
from testrunner.sandbox.isolation import RunLimits

MAX_UNFOLDED = 30
MAX_RESULTS = 500  # results on the page, failures first; the JUnit report contains all


class RunPagesAdmin(ModelAdmin):
    """Mixin for the runs' admin: the page, its live parts and its actions."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/live/", wrap(never_cache(require_safe(self.live_view))), name="testrunner_testrun_live"),
            path("<int:pk>/log/", wrap(require_safe(self.log_view)), name="testrunner_testrun_log"),
            path("<int:pk>/junit.xml", wrap(require_safe(self.junit_view)), name="testrunner_testrun_junit"),
            path(
                "<int:pk>/results/<int:result>/", wrap(require_safe(self.result_view)), name="testrunner_testrun_result"
            ),
            path("<int:pk>/cancel/", wrap(self.cancel_view), name="testrunner_testrun_cancel"),
            path("<int:pk>/rerun/", wrap(self.rerun_view), {"failed_only": False}, name="testrunner_testrun_rerun"),
            path(
                "<int:pk>/rerun-failed/",
                wrap(self.rerun_view),
                {"failed_only": True},
                name="testrunner_testrun_rerun_failed",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = visible_object(self, request, object_id)
        context = {
            **page_context(self, request, str(run), run),
            **self._live_context(request, run),
            "log_head": RunLimits().log_head,
        }
        return TemplateResponse(request, "testrunner/run.html", context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Fragment with everything on the page except the log."""
        run = visible_object(self, request, pk)
        return render(request, "testrunner/run_live.html", self._live_context(request, run))

    def log_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return log_response(visible_object(self, request, pk), request.headers.get("Range", ""))

    def junit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return junit_response(visible_object(self, request, pk))

    def result_view(self, request: HttpRequest, pk: int, result: int) -> HttpResponse:
        """Fragment with the traceback of one test, fetched when it is unfolded."""
        found = get_object_or_404(visible_object(self, request, pk).results, pk=result)
        return render(request, "testrunner/traceback.html", {"result": found})

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = visible_object(self, request, pk)
        if not _may_cancel(request, run):
            raise PermissionDenied
        if request.method == "POST":
            cancel = partial(services.cancel_run, run=run, user=request.user)
            return run_action(request, page_of(run), cancel, _cancelled)
        queued = run.status == TestRun.Status.QUEUED
        text = "It is taken out of the queue." if queued else "Its tests are stopped at once."
        dialog = ConfirmDialog(f"Cancel run {run.pk}?", page_of(run), "Cancel the run", text, is_dangerous=True)
        ended = ConfirmDialog(f"Run {run.pk} has ended", page_of(run), words="There is nothing left to cancel.")
        return ask(request, ended if run.is_finished else dialog, model_admin=self, original=run)

    def rerun_view(self, request: HttpRequest, pk: int, failed_only: bool) -> HttpResponse:
        run = visible_object(self, request, pk, "testrunner.add_testrun")
        if request.method == "POST":
            key = _request_key(request)
            rerun = partial(services.rerun, run=run, user=request.user, failed_only=failed_only, request_key=key)
            return run_action(request, page_of(run), rerun, "The rerun is queued.", page_of)
        files = "only the tests that did not pass" if failed_only else "the same files, with the bytes they had then"
        text = f"It runs {files}, in {run.environment}, after the runs that wait there."
        dialog = ConfirmDialog(f"Rerun run {run.pk}?", page_of(run), "Rerun", text, request_key=uuid4())
        return ask(request, dialog, model_admin=self, original=run)

    def _live_context(self, request: HttpRequest, run: TestRun) -> dict[str, Any]:
        queue_status.add_to_runs([run])
        results = failures_first(run.results.defer("details").annotate(is_explained=~Q(details="")))
        shown = list(results[:MAX_RESULTS])
        return {
            "run": run,
            "took": run.duration(),
            "files": run.files.filter(comes_along=False).defer("content"),
            "came_along": run.files.filter(comes_along=True).defer("content"),
            **_folded(run, shown),
            "more": run.results.count() - len(shown) if len(shown) == MAX_RESULTS else 0,
            "tasks": _tasks(request, run, shown),
            "may_cancel": not run.is_finished and _may_cancel(request, run),
            "may_rerun": run.is_finished and self.has_add_permission(request),
            "has_report": TestRun.objects.filter(pk=run.pk).exclude(junit_xml="").exists(),
            "any_failed": run.failed + run.errors > 0,
            "limit": timedelta(seconds=run.wall_seconds),
        }


def _folded(run: TestRun, shown: list[TestResult]) -> dict[str, list[TestResult]]:
    """Split the results into those shown and those folded.

    In a long list of a finished run, the tests that passed without a message are folded.
    """
    plain = [result for result in shown if result.outcome == "passed" and not result.message]
    if not run.is_finished or len(shown) <= MAX_UNFOLDED:
        plain = []
    folded = {result.pk for result in plain}
    return {"unfolded": [result for result in shown if result.pk not in folded], "passed": plain}


def failures_first(results: QuerySet[TestResult]) -> QuerySet[TestResult]:
    """Order the results: failures first, then the rest, each in the order of the tests."""
    wrong = Case(When(outcome__in=TestResult.FAILURES, then=Value(0)), default=Value(1))
    return results.order_by(wrong, "id")


def _may_cancel(request: HttpRequest, run: TestRun) -> bool:
    own = run.created_by_id == request.user.pk and request.user.has_perm("testrunner.add_testrun")
    return own or request.user.has_perm("testrunner.cancel_testrun")


def _cancelled(run: TestRun) -> str:
    return "It is taken out of the queue." if run.is_finished else "The run is being stopped."


def _request_key(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.POST.get("request_key", ""))
    except ValueError:
        return None


def _tasks(request: HttpRequest, run: TestRun, results: list[TestResult]) -> dict[str, int]:
    """Return the tasks of failed tests by test id; empty for users who may not see tasks."""
    wrong = [result.nodeid for result in results if result.outcome in TestResult.FAILURES]
    if not wrong or not request.user.has_perm("projects.view_task"):
        return {}
    links = FailureTask.objects.filter(environment=run.environment_id, nodeid__in=wrong)
    return dict(links.values_list("nodeid", "task"))
