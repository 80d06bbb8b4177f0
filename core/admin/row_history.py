"""What a row was before, as every app's admin shows it: to be read, and never to be written back.

The library's page of an old version saves what is posted to it, also from somebody who may only look, and past the
services: nobody would be told, and no rule of theirs kept.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.models import DeletedObject, ModelChange
from simple_history.template_utils import HistoricalRecordContextHelper

from core.timezones import with_zone

_SAFE = ("GET", "HEAD", "OPTIONS")
_LINK_TO_USER = re.compile(rb'<a href="/admin/auth/user/\d+/change/"[^>]*>(.*?)</a>')


def worded(value: Any) -> Any:
    """Return a recorded value in words: an absent one, a row that was deleted since, and a moment with its zone."""
    if value is None or value == "":
        return "none"
    if isinstance(value, DeletedObject):
        # The library takes a reference that was empty for one to a row that is gone.
        return "none" if value.pk is None else f"a deleted {value.model._meta.verbose_name}"
    return with_zone(value) if isinstance(value, datetime) else value


class _Words(HistoricalRecordContextHelper):
    def prepare_delta_change_value(self, change: ModelChange, value: Any) -> Any:
        return worded(super().prepare_delta_change_value(change, value))


class RowHistoryAdmin(SimpleHistoryAdmin):
    """A mixin of each admin whose model keeps its history: who may see a row may read it, and nobody may write it."""

    object_history_form_template = "core/past.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the versions, also of a row that was deleted."""
        _require(self.model, object_id)
        # Without the name of an address the library shows who changed something as text.
        hidden = {} if request.user.has_perm("auth.view_user") else {"admin_user_view": ""}
        return super().history_view(request, object_id, {**hidden, **(extra_context or {})})

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the version that was."""
        _require(self.model, object_id)
        _require(self.model.history.model, version_id)
        if request.method not in _SAFE:
            raise PermissionDenied
        request.shows_the_past = True  # type: ignore[attr-defined]
        response = super().history_form_view(request, object_id, version_id, extra_context)
        if not request.user.has_perm("auth.view_user"):
            # The theme's read-only fields link to the people they name without asking for the permission.
            response.content = _LINK_TO_USER.sub(rb"\1", response.content)
        return response

    def get_historical_record_context_helper(
        self, request: HttpRequest, historical_record: Any
    ) -> HistoricalRecordContextHelper:
        return _Words(self.model, historical_record)

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
