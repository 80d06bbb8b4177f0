"""Base of the admins that have pages of their own: their addresses and the row that they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods


class PageAdmin(ModelAdmin):
    """An admin with pages of its own."""

    def page_url(
        self, route: str, view: Callable[..., HttpResponse], name: str, methods: Sequence[str] = ("GET", "HEAD")
    ) -> URLPattern:
        """Return the pattern of a page for users of the admin, which browsers do not cache."""
        allowed = never_cache(require_http_methods([*methods])(view))
        return path(
            route, self.admin_site.admin_view(allowed), name=f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        )

    def action_url(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """Return the pattern of an action: GET asks, POST does it."""
        return self.page_url(route, view, name, ("GET", "HEAD", "POST"))

    def viewed(self, request: HttpRequest, object_id: Any, missing: str, rows: QuerySet[Any] | None = None) -> Any:
        """Return the row with the id of an address. Raises PermissionDenied, and Http404 with the text `missing`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        number = str(object_id)
        if not number.isdecimal() or len(number) > 18:
            raise Http404
        row = (self.model._default_manager.all() if rows is None else rows).filter(pk=number).first()
        if row is None:
            raise Http404(missing)
        return row


class ReadOnlyPageAdmin(PageAdmin):
    """An admin whose rows no user adds or changes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
