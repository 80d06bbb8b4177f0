"""Secret that a page shows after a redirect: a new key or address, for the user who created it, for ten minutes.

It is stored in a cookie whose path is the one page that shows it, so that reloading the page works, and nowhere on the
server. Scripts cannot read the cookie. It is encrypted with the session: after logout neither the page nor the next
user of the browser can read it from the cookie.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from core.rest.answer_encryption import seal, unseal

COOKIE = f"{settings.SESSION_COOKIE_NAME}_shown_once"
SECONDS = 600
SALT = "sealed"  # earlier versions used the path alone as salt


def show_once(request: HttpRequest, response: HttpResponse, *, path: str, secret: str) -> HttpResponse:
    """Return the response, a redirect to the page at `path`, with the cookie that holds the secret for that page."""
    sealed = urlsafe_base64_encode(seal(secret.encode(), _reader(request)))
    response.set_signed_cookie(
        COOKIE, sealed, salt=f"{SALT}{path}", max_age=SECONDS, path=path, httponly=True,
        secure=settings.SESSION_COOKIE_SECURE, samesite="Strict",
    )  # fmt: skip
    return response


def shown_once(request: HttpRequest) -> str:
    """Return the secret that this page currently shows, or ""."""
    found = request.get_signed_cookie(COOKIE, default=None, salt=f"{SALT}{request.path}", max_age=SECONDS) or ""
    return (unseal(urlsafe_base64_decode(found), _reader(request)) or b"").decode() if found else ""


def _reader(request: HttpRequest) -> str:
    """Return the encryption secret of this session; each login starts a new session."""
    return f"{request.user.pk}:{request.session.session_key}"


def hide(response: HttpResponse, *, path: str) -> HttpResponse:
    """Return the response with the cookie deleted, so that the page stops showing its secret."""
    response.delete_cookie(COOKIE, path=path, samesite="Strict")
    return response
