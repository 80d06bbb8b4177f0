"""What the pages of one run, environment or file have in common: access, context and actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from core.storage_failure import StorageFailure
from testrunner.files.uploads import UploadRefused
from testrunner.models import RunNotAllowed


def page_context(admin: ModelAdmin, request: HttpRequest, title: str, original: Any = None) -> dict[str, Any]:
    """Return what the theme needs on every page."""
    context = {**admin.admin_site.each_context(request), "opts": admin.opts, "title": title}
    return {**context, "original": original} if original is not None else context


def visible_object(admin: ModelAdmin, request: HttpRequest, pk: int | str, permission: str = "") -> Any:
    """Return the object with this id. Raises Http404, and PermissionDenied without `permission` to view and act."""
    found = admin.get_object(request, str(pk))
    if found is None:
        raise Http404
    if not admin.has_view_permission(request, found) or (permission and not request.user.has_perm(permission)):
        raise PermissionDenied
    return found


def run_action(
    request: HttpRequest,
    page: str,
    action: Callable[[], Any],
    success: str | Callable[[Any], str],
    next_page: Callable[[Any], str] | None = None,
) -> HttpResponse:
    """Call `action`, and report its success, or why it was refused, on `page`. After a success `next_page` may differ.

    `success` and `next_page` get the action's result.
    """
    try:
        result = action()
    except (RunNotAllowed, UploadRefused, StorageFailure) as refusal:
        messages.error(request, str(refusal))
        return HttpResponseRedirect(page)
    messages.success(request, success if isinstance(success, str) else success(result))
    return HttpResponseRedirect(next_page(result) if next_page else page)


def page_of(original: Any) -> str:
    """Return the address of an object's page."""
    return reverse(f"admin:testrunner_{original._meta.model_name}_change", args=[original.pk])
