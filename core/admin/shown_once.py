"""A secret that is shown after a redirect: a new key or address, for the user who created it, for ten minutes.

It travels in a cookie of the one page that shows it, so that the page can be loaded again, and the secret is stored
nowhere on the server. Scripts cannot read the cookie. It is sealed by the session: after a sign-out it says nothing,
neither to the page nor to the next user of the browser who looks at the cookies.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from core.rest.answer_encryption import seal, unseal

COOKIE = f"{settings.SESSION_COOKIE_NAME}_shown_once"
SECONDS = 600
SALT = "sealed"  # cookies of earlier versions had the path alone


def show_once(request: HttpRequest, response: HttpResponse, *, path: str, secret: str) -> HttpResponse:
    """Return the response, a redirect to the page at `path`, with the secret for that page."""
    sealed = urlsafe_base64_encode(seal(secret.encode(), _reader(request)))
    response.set_signed_cookie(
        COOKIE, sealed, salt=f"{SALT}{path}", max_age=SECONDS, path=path, httponly=True,
        secure=settings.SESSION_COOKIE_SECURE, samesite="Strict",
    )  # fmt: skip
    return response


def shown_once(request: HttpRequest) -> str:
    """Return the secret that this page shows at the moment, or ""."""
    found = request.get_signed_cookie(COOKIE, default=None, salt=f"{SALT}{request.path}", max_age=SECONDS) or ""
    return (unseal(urlsafe_base64_decode(found), _reader(request)) or b"").decode() if found else ""


def _reader(request: HttpRequest) -> str:
    """Return what only this session has; a login begins a new one."""
    return f"{request.user.pk}:{request.session.session_key}"


def hide(response: HttpResponse, *, path: str) -> HttpResponse:
    """Return the response, after which the page shows its secret no longer."""
    response.delete_cookie(COOKIE, path=path, samesite="Strict")
    return response
