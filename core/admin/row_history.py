"""Read-only history of a row, as the admin of every app shows it.

The library's page of an old version saves posted data even from users with view permission only. It also bypasses the
services, so notifications would be skipped and business rules not checked.
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
    """Return a recorded value as text: "none" if empty, a note for a deleted row, a timestamp with its time zone."""
    if value is None or value == "":
        return "none"
    if isinstance(value, DeletedObject):
        # The library represents an empty reference as a reference to a deleted row without key.
        return "none" if value.pk is None else f"a deleted {value.model._meta.verbose_name}"
    return with_zone(value) if isinstance(value, datetime) else value


class _Words(HistoricalRecordContextHelper):
    def prepare_delta_change_value(self, change: ModelChange, value: Any) -> Any:
        return worded(super().prepare_delta_change_value(change, value))


class RowHistoryAdmin(SimpleHistoryAdmin):
    """Mixin for each admin whose model keeps its history: readable with the view permission, never writable."""

    object_history_form_template = "core/past.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the versions of a row, also of a deleted one."""
        _require(self.model, object_id)
        # Without the name of the user page, the library shows users as text instead of links.
        hidden = {} if request.user.has_perm("auth.view_user") else {"admin_user_view": ""}
        return super().history_view(request, object_id, {**hidden, **(extra_context or {})})

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one version, read-only. Raises PermissionDenied for other methods than GET, HEAD and OPTIONS."""
        _require(self.model, object_id)
        _require(self.model.history.model, version_id)
        if request.method not in _SAFE:
            raise PermissionDenied
        request.shows_the_past = True  # type: ignore[attr-defined]
        response = super().history_form_view(request, object_id, version_id, extra_context)
        if not request.user.has_perm("auth.view_user"):
            # The theme's read-only fields link to users without checking the permission.
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
    """Raise Http404 for a key that the model cannot have: the library passes any text to the database."""
    try:
        model._meta.pk.to_python(unquote(key))
    except ValidationError as error:
        raise Http404 from error
