"""Addresses with and without their last slash: the same view answers both, whatever the method.

A redirect would change a write: clients follow a 301 with GET, so that nothing is sent and 200 is answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import is_valid_path

# Addresses that are declared without a slash, as names of files are, and were sent with one.
_FILE = re.compile(r"(\.\w+|/metrics)/$")


class EitherSlash:
    """The middleware that lets views see only the declared form of their address. The admin redirects GET itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        declared = declared_form(request.path_info)
        if declared != request.path_info:
            request.path = request.path.removesuffix(request.path_info) + declared
            request.path_info = declared
        return self.get_response(request)


def declared_form(path: str) -> str:
    """Return the form of an address that a view is declared for, or the address itself if there is no such view."""
    if path.endswith("/") and not _FILE.search(path):
        return path
    other = path[:-1] if path.endswith("/") else f"{path}/"
    is_foreign = f"{path}/".startswith("/admin/") or is_valid_path(path) or not is_valid_path(other)
    return path if is_foreign else other
