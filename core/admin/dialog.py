"""Confirmation dialogs: inside the current page for htmx requests, otherwise as a page of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect


@dataclass(frozen=True)
class ConfirmDialog:
    """The content of a confirmation: `words`, then `template` with `context`, then the fields of `form`.

    `back` is the page behind it. Without `button` it is only information.
    """

    title: str
    back: str
    button: str = ""
    words: str = ""
    template: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    form: forms.Form | None = None
    request_key: UUID | None = None  # sent along, to distinguish a second click from a second request
    is_dangerous: bool = False
    is_wide: bool = False


def ask(
    request: HttpRequest, question: ConfirmDialog, *, model_admin: admin.ModelAdmin | None = None, original: Any = None
) -> HttpResponse:
    """Show the confirmation. Its form is submitted to the same URL by POST.

    `model_admin` and `original` are for the breadcrumbs of a page of its own.
    """
    context = {
        **question.context,
        "question": question,
        "address": request.get_full_path(),
        "title": question.title,
    }
    if request.headers.get("HX-Request"):
        return render(request, "core/dialog.html", context)
    app = question.template.partition("/")[0]
    if model_admin:
        context |= {"opts": model_admin.opts, "original": original}
        if question.form:
            app = model_admin.opts.app_label  # its style sheet has the styles of the form's fields
    context["style_sheet"] = f"{app}/{app}.css" if app else ""
    return render(request, "core/dialog_page.html", {**admin.site.each_context(request), **context})


def go_to(request: HttpRequest, address: str) -> HttpResponse:
    """Redirect the whole page. An ordinary redirect of an htmx request would load the page into the dialog."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)
