"""Confirmation dialogs: inside the current page for htmx requests, otherwise as a page of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect


@dataclass(frozen=True)
class ConfirmDialog:
    """The content of a confirmation. `template` is rendered with `context` between title and buttons.

    Without `button` it is only information.
    """

    title: str
    template: str
    button: str
    back: str
    context: dict[str, Any] = field(default_factory=dict)
    is_dangerous: bool = False
    is_wide: bool = False


def ask(request: HttpRequest, question: ConfirmDialog) -> HttpResponse:
    """Show the confirmation. Its form is submitted to the same URL by POST."""
    context = {
        **question.context,
        "question": question,
        "address": request.get_full_path(),
        "title": question.title,
    }
    if request.headers.get("HX-Request"):
        return render(request, "events/dialog.html", context)
    return render(request, "events/dialog_page.html", {**admin.site.each_context(request), **context})


def go_to(request: HttpRequest, address: str) -> HttpResponse:
    """Redirect the whole page. An ordinary redirect of an htmx request would load the page into the dialog."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)
