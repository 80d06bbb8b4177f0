"""Board of the hundred environments, which shows which are free."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin

from core.admin.concurrent_forms import ConcurrentFormsAdmin
from core.admin.row_history import RowHistoryAdmin
from testrunner.admin.environment_page import EnvironmentPagesAdmin
from testrunner.admin.object_pages import page_context
from testrunner.admin.variables import VariableInline
from testrunner.models import TestEnvironment
from testrunner.queue import queue_status

STATES = ["free", "busy", "reserved", "disabled"]


@admin.register(TestEnvironment)
class EnvironmentAdmin(ConcurrentFormsAdmin, EnvironmentPagesAdmin, RowHistoryAdmin, ModelAdmin):
    """Admin with a hundred tiles instead of a table. A tile leads to the environment's page; settings are a separate
    form.
    """

    fields = ["name", "description", "project"]
    inlines = [VariableInline]
    search_fields = ["name"]
    warn_unsaved_form = True

    def get_urls(self) -> list[URLPattern]:
        tiles = self.admin_site.admin_view(never_cache(require_safe(self.tiles_view)))
        return [path("tiles/", tiles, name="testrunner_testenvironment_tiles"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {
            **page_context(self, request, "Environments"),
            **self._tiles(request),
        }
        return TemplateResponse(request, "testrunner/environments.html", context)

    def tiles_view(self, request: HttpRequest) -> HttpResponse:
        """Fragment with all tiles, fetched whenever one of them changes."""
        return render(request, "testrunner/tiles.html", self._tiles(request))

    def _tiles(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return board()


def board() -> dict[str, Any]:
    """Return the template context of the board: all environments with their computed values, and the count of each
    state.
    """
    environments: list[Any] = list(TestEnvironment.objects.select_related("reserved_by").prefetch_related("variables"))
    queue_status.add_to_environments(environments)
    counts = Counter(environment.state for environment in environments)
    return {
        "environments": environments,
        "counts": [(state, counts[state]) for state in STATES],
        "waiting": sum(len(environment.queue) for environment in environments),
    }
