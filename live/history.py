"""What a row was before, as every app's admin shows it: to be read, and never to be written back.

The library's page of an old version saves what is posted to it, also from somebody who may only look, and past the
services: nobody would be told, and no rule of theirs kept.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin

_SAFE = ("GET", "HEAD", "OPTIONS")


class HistoryPages(SimpleHistoryAdmin):
    """A mixin of each admin whose model keeps its history: who may see a row may read it, and nobody may write it."""

    object_history_form_template = "live/past.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the versions, also of a row that was deleted."""
        _require(self.model, object_id)
        return super().history_view(request, object_id, extra_context)

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the version that was."""
        _require(self.model, object_id)
        _require(self.model.history.model, version_id)
        if request.method not in _SAFE:
            raise PermissionDenied
        request.shows_the_past = True  # type: ignore[attr-defined]
        return super().history_form_view(request, object_id, version_id, extra_context)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return not _shows_the_past(request) and super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self._recorded() if _shows_the_past(request) else super().get_readonly_fields(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if _shows_the_past(request):
            return [(None, {"fields": self._recorded()})]
        return super().get_fieldsets(request, obj)

    def _recorded(self) -> list[str]:
        return [field.name for field in self.model.history.model.tracked_fields]


def _shows_the_past(request: HttpRequest) -> bool:
    return getattr(request, "shows_the_past", False)


def _require(model: type[Model], key: str) -> None:
    """Raise Http404 for what no row of the model can have as its key: the library asks the database for anything."""
    try:
        model._meta.pk.to_python(unquote(key))
    except ValidationError as error:
        raise Http404 from error
