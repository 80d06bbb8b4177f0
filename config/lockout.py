"""What somebody sees after too many wrong passwords."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.problems import problem_response

WORDS = "Too many wrong passwords. Please try again in 15 minutes."


def locked_out(request: HttpRequest, credentials: dict[str, Any] | None = None, *args: Any) -> HttpResponse:
    """429 with the remedy: a page for a person, a problem for a program."""
    if request.path.startswith("/admin/"):
        return render(request, "admin/locked_out.html", {"words": WORDS}, status=429)
    return problem_response(429, WORDS, retry_after=900)


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the name that a try was made with, cut to what the table of tries can hold."""
    name = (credentials or request.POST).get("username")
    return None if name is None else str(name).replace("\0", "")[:255]
