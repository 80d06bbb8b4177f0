"""The test runner on the front page and in the command palette."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from core.numerals import number
from core.registry import LATER, MAX_SEARCH_RESULTS, SOON, Card
from testrunner.admin.environments import board
from testrunner.models import TestEnvironment, TestRun

MIN_LETTERS = 2  # of a search


def environments(request: HttpRequest) -> Card | None:
    """The environments as small tiles."""
    if not request.user.has_perm("testrunner.view_testenvironment"):
        return None
    found = board()
    return Card("testrunner/cards/environments.html", found, every=SOON if dict(found["counts"])["busy"] else LATER)


def search_environments(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find environments by their names."""
    if len(term) < MIN_LETTERS or not request.user.has_perm("testrunner.view_testenvironment"):
        return
    for environment in TestEnvironment.objects.filter(name__icontains=term)[:MAX_SEARCH_RESULTS]:
        page = reverse("admin:testrunner_testenvironment_change", args=[environment.pk])
        yield SearchResult(title=environment.name, description="Environment", link=page, icon="grid_view")


def search_runs(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find a run by its number, such as "7", "#7" or "run 7"."""
    pk = number(term.removeprefix("#").removeprefix("run").strip())
    if not pk or not request.user.has_perm("testrunner.view_testrun"):
        return
    for run in TestRun.objects.filter(pk=pk).select_related("environment").defer("junit_xml"):
        page = reverse("admin:testrunner_testrun_change", args=[run.pk])
        words = f"{run.get_status_display().capitalize()}, in {run.environment}"
        yield SearchResult(title=str(run), description=words, link=page, icon="science")
