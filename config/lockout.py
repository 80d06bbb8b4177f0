"""Login lock-out: its log text and its response after too many wrong passwords."""

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.http.problem import problem_response

WORDS = "Too many wrong passwords. Please try again in 15 minutes."


def described(username: str | None, address: str | None, agent: str, path: str, request: HttpRequest) -> str:
    """Return who was refused, for the log: with the account's name, so that operators see who is locked out.

    A name without an account is not logged: it may be a password typed into the wrong field.
    """
    name = (username or "")[:150]
    known = get_user_model()._default_manager.filter(username=name).exists()
    return f"{name if known else 'an unknown name'} from {address} at {path}"


def locked_out(request: HttpRequest, credentials: dict[str, Any] | None = None, *args: Any) -> HttpResponse:
    """Return a 429 that says when to retry: a page for people, problem details for programs."""
    if request.path.startswith("/admin/"):
        return render(request, "admin/locked_out.html", {"words": WORDS}, status=429)
    return problem_response(429, WORDS, retry_after=900)


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the username of a login attempt, cut to what the table of attempts can store."""
    name = (credentials or request.POST).get("username")
    return None if name is None else str(name).replace("\0", "")[:255]
