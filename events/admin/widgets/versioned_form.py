"""Forms that do not overwrite what another user changed after they were opened (core/admin/form_versions.py)."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from django import forms
from django.db.models import Model
from django.http import HttpRequest

from core.admin import form_versions

Values = dict[str, Any]  # by field


class VersionedForm(forms.Form):
    has_conflict = False

    def refuses_conflicts(
        self,
        request: HttpRequest,
        row: Model,
        shown: dict[str, Any],
        wanted: dict[str, Any],
        hidden: Container[str] = (),
    ) -> bool:
        """Add an error, and return true, if a changed field differs from the value with which the form was opened.

        `shown` has the present values of `row`; the error does not repeat those that are `hidden`.
        """
        token = request.POST.get(form_versions.FIELD)
        names = form_versions.conflicts(token, shown, wanted) if token is not None else []
        if names:
            texts = {name: "" if name in hidden else str(shown[name]).replace("\n", " ") for name in names}
            changes = [form_versions.Change(str(self[name].label), text) for name, text in texts.items()]
            self.add_error(None, form_versions.words_for(changes, row, request.get_full_path()))
            self.has_conflict = True
        return self.has_conflict

    def token(self, request: HttpRequest, shown: dict[str, Any]) -> str:
        """Return the token of the values with which the form was opened: those of the page, or `shown`."""
        kept = request.POST.get(form_versions.FIELD) if self.is_bound and not self.has_conflict else None
        return kept or form_versions.token_of(shown)
