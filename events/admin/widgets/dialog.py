"""Questions before something is done: in the theme's dialog where htmx asks, else as a page of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect


@dataclass(frozen=True)
class ConfirmDialog:
    """`template` is what stands between title and buttons, shown with `context`. Without `button` it only tells."""

    title: str
    template: str
    button: str
    back: str
    context: dict[str, Any] = field(default_factory=dict)
    is_dangerous: bool = False
    is_wide: bool = False


def ask(request: HttpRequest, question: ConfirmDialog) -> HttpResponse:
    """Show the question; its form comes back to the same address by POST."""
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
    """Redirect: the whole page, also where htmx asked and would put the answer into the dialog."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)
