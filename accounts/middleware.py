"""Middleware that renders admin pages in the user's time zone. REST responses use UTC and include the offset."""

from collections.abc import Callable
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.zones import zone_of_visit

COOKIE = "opsroom_zone"  # accounts/static/accounts/zone.js writes the browser's zone to it


class OwnZone:
    """Activate the user's time zone for requests to the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/") or not request.user.is_authenticated:
            return self.get_response(request)
        with timezone.override(zone_of_visit(request.user, unquote(request.COOKIES.get(COOKIE, "")))):
            return self.get_response(request)
