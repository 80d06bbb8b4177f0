"""Reliability of tests: their last outcomes in each environment, with a mark on flaky ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from testrunner.admin.object_pages import page_context
from testrunner.models import TestResult

RECENT_RUNS = 500  # recent runs whose tests are listed
MAX_OUTCOMES = 40  # outcomes in one line
MAX_TESTS = 200
FLAKY_CHANGES = 3  # changes between pass and failure that make a test flaky; a fix alone is one change


@dataclass(frozen=True)
class OutcomeLine:
    """One test's outcomes in one environment, oldest first."""

    nodeid: str
    environment: Any
    results: Sequence[TestResult]

    @property
    def is_flaky(self) -> bool:
        """Whether the outcome changed often: one change is a fault, two are a fault and its fix."""
        good = [result.outcome in TestResult.PASSES for result in self.results if result.outcome in TestResult.JUDGED]
        return sum(one != other for one, other in pairwise(good)) >= FLAKY_CHANGES

    @property
    def failures(self) -> int:
        return sum(result.outcome in TestResult.FAILURES for result in self.results)

    @property
    def typical(self) -> float:
        return median(result.duration for result in self.results)


class TestHistoryAdmin(ModelAdmin):
    """Mixin for the runs' admin: tests over time."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.test_history_view))
        return [path("tests/", view, name="testrunner_testrun_test_history"), *super().get_urls()]

    def test_history_view(self, request: HttpRequest) -> HttpResponse:
        """Show one test (`?test=`) in every environment, or all recent tests with the flaky and failing ones first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        test, words = request.GET.get("test", ""), request.GET.get("q", "").replace("\x00", "").strip()[:200]
        lines = lines_of(test) if test else recent_lines(words)
        context = {
            **page_context(self, request, test or "Tests over time"),
            "lines": lines,
            "test": test,
            "words": words,
        }
        return TemplateResponse(request, "testrunner/history.html", context)


def lines_of(nodeid: str) -> list[OutcomeLine]:
    """Return the outcomes of one test by environment, from its latest MAX_OUTCOMES * 20 results."""
    results = TestResult.objects.filter(nodeid=nodeid.replace("\x00", "")).select_related("environment")
    return _lines(results.defer("message", "details").order_by("-run")[: MAX_OUTCOMES * 20])


def recent_lines(words: str = "") -> list[OutcomeLine]:
    """Return the tests of the latest MAX_OUTCOMES * MAX_TESTS results, flaky ones first, then by number of failures."""
    last = TestResult.objects.order_by("-run").values_list("run", flat=True)[:1]
    since = max((last[0] if last else 0) - RECENT_RUNS, 0)
    results = TestResult.objects.filter(run__gt=since).select_related("environment")
    results = results.defer("message", "details")
    if words:
        results = results.filter(nodeid__icontains=words)
    lines = _lines(results.order_by("-run")[: MAX_OUTCOMES * MAX_TESTS])
    return sorted(lines, key=lambda line: (not line.is_flaky, -line.failures, line.nodeid))[:MAX_TESTS]


def _lines(results: Any) -> list[OutcomeLine]:
    found: dict[tuple[str, int], list[TestResult]] = defaultdict(list)
    for result in results:
        if len(found[result.nodeid, result.environment_id]) < MAX_OUTCOMES:
            found[result.nodeid, result.environment_id].append(result)
    return [OutcomeLine(nodeid, strip[0].environment, strip[::-1]) for (nodeid, _), strip in sorted(found.items())]
