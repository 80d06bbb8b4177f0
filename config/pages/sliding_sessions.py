"""Sessions expire after SESSION_COOKIE_AGE seconds without use, and at the latest MAX_SESSION_AGE seconds after login.

Without the second limit, a stolen session could be kept in use indefinitely.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse

RENEW_AFTER = 600  # seconds, so that not every page writes the session
MAX_SESSION_AGE = 30 * 86_400  # seconds from the login
KEY = "renewed_at"
BEGAN = "began_at"


class SlidingSessions:
    """Middleware that renews the session of a user who opens an admin page or sends a form.

    Requests that an open page makes by itself do not count as use.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and _is_over(request.session):
            logout(request)
        response = self.get_response(request)
        is_use = response.status_code < 400 and _is_use(request) and request.user.is_authenticated
        if is_use and time.time() - request.session.get(KEY, 0) >= RENEW_AFTER:
            renew(request.session)
        return response


def renew(session: Any) -> None:
    """Mark the session as changed, so that it is saved with its full age."""
    session[KEY] = int(time.time())
    session.setdefault(BEGAN, session[KEY])


def _begin(request: HttpRequest, **_: Any) -> None:
    """Receiver of user_logged_in: record the time of the login, also of a repeated one within a session."""
    request.session[BEGAN] = int(time.time())


user_logged_in.connect(_begin, dispatch_uid="config.pages.sliding_sessions")


def _is_over(session: Any) -> bool:
    return time.time() - session.get(BEGAN, math.inf) >= MAX_SESSION_AGE


def _is_use(request: HttpRequest) -> bool:
    if not request.path_info.startswith("/admin/"):
        return False
    by_script = request.headers.get("HX-Request") or request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    return request.method == "POST" or not by_script
