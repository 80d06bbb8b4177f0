"""Sessions end when they were not used for SESSION_COOKIE_AGE seconds, not so long after the login."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

RENEW_AFTER = 600  # seconds, so that not every page writes the session
KEY = "renewed_at"


class SlidingSessions:
    """The middleware that renews the session of a user who opens a page or sends a form of the admin.

    What an open page asks for by itself does not count as use.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_use = response.status_code < 400 and _is_use(request) and request.user.is_authenticated
        if is_use and time.time() - request.session.get(KEY, 0) >= RENEW_AFTER:
            renew(request.session)
        return response


def renew(session: Any) -> None:
    """Have the session saved, which gives it its whole age again."""
    session[KEY] = int(time.time())


def _is_use(request: HttpRequest) -> bool:
    if not request.path_info.startswith("/admin/"):
        return False
    by_script = request.headers.get("HX-Request") or request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    return request.method == "POST" or not by_script
