"""Stored pictures, for those who are signed in, in a way that can never run as a page."""

from pathlib import PurePosixPath

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import APIException

from config.problems import problem_response

# Only what chats/images.py writes; anything else under the root is not for serving.
TYPES = {".webp": "image/webp"}


@require_safe
def media(request: HttpRequest, name: str) -> HttpResponseBase:
    """Serve one stored picture: our own content type, nosniff, sandboxed, cacheable by this browser only."""
    if not _signed_in(request):
        return problem_response(401, "Sign in to see pictures.")
    content_type = TYPES.get(PurePosixPath(name).suffix)
    if content_type is None:
        raise Http404
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
            # Stored under a name that is never written twice.
            "Cache-Control": "private, max-age=31536000, immutable",
        },
    )


def _signed_in(request: HttpRequest) -> bool:
    if request.user.is_authenticated:
        return True
    try:
        return TokenAuthentication().authenticate(request) is not None  # type: ignore[arg-type]  # has the META it reads
    except APIException:
        return False
