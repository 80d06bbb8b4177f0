"""Deleting in the admin by the same right as in the REST interface: that of the row decides, for all that goes with it.

The admin's own page asks for the right to delete each related row, too. Rows that nobody deletes by hand, such as the
reminders of a task, would keep it from being deleted by anybody; and it loads all of them to list them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.db import models, transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from core.admin import form_versions
from core.admin.concurrent_forms import BY_ITSELF, comparable, in_words, label_of

Deletion = tuple[list[str], dict[str, int], set[str], list[str]]


class ConcurrentDeletionAdmin(ModelAdmin):
    """A mixin of each admin that deletes rows: a row that changed after the question was shown is asked about again."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_delete_permission(request, row):
            return super().delete_view(request, object_id, extra_context)
        if request.method != "POST" or form_versions.FIELD not in request.POST:
            context = {**(extra_context or {}), "seen": form_versions.token_of(_values(row))}
            return super().delete_view(request, object_id, context)
        with transaction.atomic():  # from the comparison to the deletion nobody changes the row
            row = self.lock_for_deletion(row.pk)
            if row is not None and (
                missed := form_versions.changed_since(request.POST[form_versions.FIELD], _values(row))
            ):
                fields = [form_versions.Change(label_of(row, name), in_words(row, name)) for name in missed]
                messages.warning(request, form_versions.deletion_words(fields, row))
                return HttpResponseRedirect(request.get_full_path())
            return super().delete_view(request, object_id, extra_context)

    def lock_for_deletion(self, pk: Any) -> Any:
        """Return the row as it is now, locked until the caller's transaction ends; None where it is gone."""
        return self.model._base_manager.select_for_update(no_key=True).filter(pk=pk).first()


def _values(row: models.Model) -> dict[str, Any]:
    return comparable(model_to_dict(row, exclude=[*BY_ITSELF]))


class DeletionAdmin(ConcurrentDeletionAdmin):
    """A mixin of each admin that deletes rows: its questions count what goes with them."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return the rows' names, how many of each kind go, and what keeps them: a missing right, or rows that stay."""
        rows = list(objs)
        counts, kept = what_goes_with(self.model, [row.pk for row in rows])
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return [str(row) for row in rows], counts, lacking, kept


def what_goes_with(model: type[models.Model], pks: Iterable[Any]) -> tuple[dict[str, int], list[str]]:
    """Return how many rows of each kind are deleted with these, themselves included, and which kinds forbid it."""
    counts: dict[str, int] = {}
    kept: list[str] = []
    waiting: list[models.QuerySet[Any]] = [model._base_manager.filter(pk__in=list(pks))]
    while waiting:
        rows = waiting.pop()
        if not (number := rows.count()):
            continue
        kind = str(rows.model._meta.verbose_name_plural)
        counts[kind] = counts.get(kind, 0) + number
        for relation in _relations(rows.model):
            related = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": rows.values("pk")})
            if relation.on_delete is models.CASCADE:
                waiting.append(related)
            elif relation.on_delete in (models.PROTECT, models.RESTRICT) and related.exists():
                kept.append(str(relation.related_model._meta.verbose_name_plural).capitalize())
    return counts, kept


def _relations(model: type[models.Model]) -> list[Any]:
    """The foreign keys that refer to a model, hidden ones and those of its proxies included."""
    found = model._meta.concrete_model._meta.get_fields(include_hidden=True)  # type: ignore[union-attr]
    return [
        field
        for field in found
        if field.auto_created and (field.one_to_many or field.one_to_one) and not field.concrete
    ]
