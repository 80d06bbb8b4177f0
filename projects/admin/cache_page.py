"""Admin page with the list cache's counts: hits, misses and bypasses."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.list_cache import counts, entries


def cache_page(request: HttpRequest) -> HttpResponse:
    """Show the cache's counts. Superusers only, like the other administration pages."""
    if not request.user.is_superuser:
        raise PermissionDenied
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "List cache",
        "counts": counts.totals(),
        "invalidation_pending": entries.retry.pending,
    }
    return render(request, "projects/cache.html", context)
