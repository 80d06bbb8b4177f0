"""The pages' script at an address that never changes, since it stands in pages that nobody here can edit."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import conditional_page, require_safe

FILE = Path(__file__).parents[1] / "static" / "events" / "opsroom.js"


@require_safe
@conditional_page
def script(request: HttpRequest) -> HttpResponse:
    """Any page may load it. A new version reaches everybody within the hour."""
    return HttpResponse(
        FILE.read_bytes(),
        content_type="text/javascript; charset=utf-8",
        headers={
            "Cache-Control": "public, max-age=3600",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )
