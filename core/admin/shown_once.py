"""A secret that is shown after a redirect: a new key or address, for the user who created it, for ten minutes.

It travels in a signed cookie of the one page that shows it, so that the page can be loaded again, and the secret is
stored nowhere on the server. Scripts cannot read the cookie, and another user of the browser does not see the secret.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = f"{settings.SESSION_COOKIE_NAME}_shown_once"
SECONDS = 600


def show_once(request: HttpRequest, response: HttpResponse, *, path: str, secret: str) -> HttpResponse:
    """Return the response, a redirect to the page at `path`, with the secret for that page."""
    response.set_signed_cookie(
        COOKIE, f"{request.user.pk}:{secret}", salt=path, max_age=SECONDS, path=path, httponly=True,
        secure=settings.SESSION_COOKIE_SECURE, samesite="Strict",
    )  # fmt: skip
    return response


def shown_once(request: HttpRequest) -> str:
    """Return the secret that this page shows at the moment, or ""."""
    found = request.get_signed_cookie(COOKIE, default=None, salt=request.path, max_age=SECONDS) or ""
    user, _, secret = found.partition(":")
    return secret if user == str(request.user.pk) else ""


def hide(response: HttpResponse, *, path: str) -> HttpResponse:
    """Return the response, after which the page shows its secret no longer."""
    response.delete_cookie(COOKIE, path=path, samesite="Strict")
    return response
