"""The viewer's zone: days of a calendar and times in a form mean nothing without it.

The pages' script keeps the browser's zone in a cookie; without one, or with nonsense in it, it is the house's zone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

COOKIE = "opsroom_zone"
LONGEST = 64


def zone_of(request: HttpRequest) -> ZoneInfo | None:
    """Return the zone that the viewer's browser named; None if it named none that there is."""
    name = unquote(request.COOKIES.get(COOKIE, ""))
    if not name or len(name) > LONGEST:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def in_viewers_zone(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a method of an admin read and show times in the viewer's zone, its template included."""

    @wraps(view)
    def wrapped(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(zone_of(request)):
            response = view(self, request, *args, **kwargs)
            return response.render() if isinstance(response, TemplateResponse) else response

    return wrapped
