"""Confirmation dialogs: shown in a dialog if the page can open one, otherwise on a page of its own."""

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
    """Content of a confirmation dialog. `text` explains the consequence; `confirm_label` is the label of the confirming
    button.

    Without `confirm_label` the dialog has no button, and the text says why.
    """

    title: str
    text: str
    back_url: str
    confirm_label: str = ""
    is_dangerous: bool = False
    form: forms.Form | None = None
    key: UUID | None = None  # sent along as `request_key`, to distinguish a second click from a second request


def show_dialog(admin: ModelAdmin, request: HttpRequest, dialog: RunDialog, original: Any) -> HttpResponse:
    """Show the dialog. Its form is posted to the same address."""
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": original,
        "title": dialog.title,
        "dialog": dialog,
        "address": request.get_full_path(),
    }
    in_dialog = request.headers.get("HX-Request")
    return render(request, f"testrunner/{'dialog' if in_dialog else 'dialog_page'}.html", context)
