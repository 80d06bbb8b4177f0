"""The browser script at a constant URL, because it is embedded in web pages that Opsroom's operators cannot change."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import conditional_page, require_safe

FILE = Path(__file__).parents[1] / "static" / "events" / "opsroom.js"


@require_safe
@conditional_page
def script(request: HttpRequest) -> HttpResponse:
    """Return the script. Any page may load it; caches receive a new version within an hour."""
    return HttpResponse(
        FILE.read_bytes(),
        content_type="text/javascript; charset=utf-8",
        headers={
            "Cache-Control": "public, max-age=3600",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )
