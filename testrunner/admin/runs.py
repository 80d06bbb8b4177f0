"""Table of runs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.loader import render_to_string
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import MultipleChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.paginator import InfinitePaginator

from testrunner.admin.history import TestHistoryAdmin
from testrunner.admin.new_run import NewRunAdmin
from testrunner.admin.run_page import RunPagesAdmin
from testrunner.models import RunFile, TestRun
from testrunner.queue import queue_status


@admin.register(TestRun)
class RunAdmin(NewRunAdmin, RunPagesAdmin, TestHistoryAdmin, ModelAdmin):
    list_display = ["run_cell", "state", "environment_cell", "requester", "position_or_duration", "test_counts"]
    list_display_links = None  # the first cell contains its own link to the run
    list_filter = [("status", MultipleChoicesDropdownFilter), ("environment", RelatedDropdownFilter)]
    list_filter_submit = True
    list_per_page = 25
    paginator = InfinitePaginator
    show_full_result_count = False
    search_fields = ["requested_by", "=id"]
    search_help_text = "Number of a run, or who requested it"
    actions = None
    actions_list = ["tests_over_time"]
    change_list_template = "testrunner/run_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[TestRun]:
        names = RunFile.objects.defer("content")
        runs = super().get_queryset(request).defer("junit_xml", "selection")
        return runs.select_related("environment").prefetch_related(Prefetch("files", names))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        queue_status.add_to_runs(changes.result_list)
        return changes

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @action(description="Tests over time", icon="timeline", url_path="history-of-tests")
    def tests_over_time(self, request: HttpRequest) -> Any:
        return redirect("admin:testrunner_testrun_test_history")

    @display(description="Run", ordering="id")
    def run_cell(self, run: TestRun) -> str:
        return render_to_string(
            "testrunner/run_cell.html",
            {"run": run, "files": [file for file in run.files.all() if not file.comes_along]},
        )

    @display(description="State", ordering="status")
    def state(self, run: TestRun) -> str:
        return render_to_string("testrunner/run_state.html", {"run": run})

    @display(description="Environment", ordering="environment")
    def environment_cell(self, run: TestRun) -> str:
        return render_to_string("testrunner/environment_link.html", {"environment": run.environment})

    @display(description="Requested by", ordering="requested_by")
    def requester(self, run: TestRun) -> str:
        return run.requested_by

    @display(description="Queue position or duration")
    def position_or_duration(self, run: TestRun) -> str:
        return render_to_string("testrunner/run_turn.html", {"run": run, "took": run.duration()})

    @display(description="Tests")
    def test_counts(self, run: TestRun) -> str:
        return render_to_string("testrunner/run_counts.html", {"run": run})
