"""Stored images, for users who may see what they belong to, served so that they can never run as a page."""

from pathlib import PurePosixPath
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousFileOperation
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from rest_framework.exceptions import APIException

from accounts.authentication import TokenAuthentication
from core.http.problem import problem_response
from core.registry import all_apps

# Only what core/images/conversion.py writes; other files under the root are not served.
TYPES = {".webp": "image/webp"}


@require_safe
def media(request: HttpRequest, name: str) -> HttpResponseBase:
    """Serve one stored image with a fixed content type, nosniff, a sandbox, and without caching.

    401 for anonymous requests, 403 without the permission to view what the image belongs to, 404 if it belongs to
    nothing that is shown.
    """
    user = _user(request)
    if user is None:
        return problem_response(401, "Sign in to see pictures.")
    content_type = TYPES.get(PurePosixPath(name).suffix)
    answers = (app.may_see_file(name, user) for app in all_apps() if content_type)
    allowed = next((answer for answer in answers if answer is not None), None)
    if allowed is None:
        raise Http404
    if not allowed:
        raise PermissionDenied("You may not see this picture.")
    try:
        file = default_storage.open(name)
    except (OSError, SuspiciousFileOperation, ValueError) as error:
        raise Http404 from error
    return FileResponse(
        file,
        content_type=content_type,
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            # A retracted image must disappear at once.
            "Cache-Control": "private, no-store",
        },
    )


def _user(request: HttpRequest) -> Any:
    """Return the user, by session or token, or None."""
    if request.user.is_authenticated:
        return request.user
    try:
        found = TokenAuthentication().authenticate(request)  # type: ignore[arg-type]  # has the META it reads
    except APIException:
        return None
    return found[0] if found else None
