"""A question before something happens: in a dialog where the page can open one, else on a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@dataclass(frozen=True)
class RunDialog:
    """What is asked: `words` tell the consequence, `firmly` is what the button that does it says.

    Without `firmly` nothing can be done, and the words say why.
    """

    title: str
    words: str
    back: str
    firmly: str = ""
    is_dangerous: bool = False
    form: forms.Form | None = None
    key: UUID | None = None  # sent along as `request_key`: what tells a second press from a second wish


def ask(admin: ModelAdmin, request: HttpRequest, question: RunDialog, original: Any) -> HttpResponse:
    """Show the question; its form is sent to the same address."""
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": original,
        "title": question.title,
        "question": question,
        "address": request.get_full_path(),
    }
    in_dialog = request.headers.get("HX-Request")
    return render(request, f"testrunner/{'dialog' if in_dialog else 'dialog_page'}.html", context)
