"""URLs with and without their last slash: the same view handles both, for all methods.

A redirect would break writes: clients follow a 301 with GET, so nothing would be written and the response would be 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import is_valid_path

# URLs that are declared without a slash, such as file names, but were requested with one.
_FILE = re.compile(r"(\.\w+|/metrics)/$")


class EitherSlash:
    """Middleware that changes a path to the form that a view declares. The admin redirects GET itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        declared = declared_form(request.path_info)
        if declared != request.path_info:
            request.path = request.path.removesuffix(request.path_info) + declared
            request.path_info = declared
        return self.get_response(request)


def declared_form(path: str) -> str:
    """Return the form of a path for which a view is declared, or the path itself without such a view."""
    if path.endswith("/") and not _FILE.search(path):
        return path
    other = path[:-1] if path.endswith("/") else f"{path}/"
    is_foreign = f"{path}/".startswith("/admin/") or is_valid_path(path) or not is_valid_path(other)
    return path if is_foreign else other
