"""Forms of the admin that are sent at the same moment as something else changes the row, or takes its name."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.db import IntegrityError, connection
from django.http import HttpRequest, HttpResponse


class FormsAtOnce(ModelAdmin):
    """A mixin of each admin whose form is saved by Django, which writes all columns of a row."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row. Before a form is written into it, it is locked and read again.

        Without that, columns that the form does not have would be set back to what they were, and a row that was
        deleted meanwhile would be inserted again.
        """
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        return self.model._base_manager.select_for_update(no_key=True).filter(pk=found.pk).first()

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Answer with the form's own error where the database finds that another row has the name already."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:  # nothing is written; the form's check did not see the other row a moment ago
            return super().changeform_view(request, object_id, form_url, extra_context)
