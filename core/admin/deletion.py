"""Deletion in the admin with the same permission as in the REST API: the one for the row covers all related rows.

Django's own page requires the delete permission for each related model. Related rows that users never delete directly,
such as the reminders of a task, would make the deletion impossible. It also loads all related rows to list them.
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
    """Mixin for each admin that deletes rows: if the row changed after the confirmation page, ask again."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_delete_permission(request, row):
            return super().delete_view(request, object_id, extra_context)
        if request.method != "POST" or form_versions.FIELD not in request.POST:
            context = {**(extra_context or {}), "seen": form_versions.token_of(_values(row))}
            return super().delete_view(request, object_id, context)
        with transaction.atomic():  # nothing may change the row between the comparison and the deletion
            row = self.lock_for_deletion(row.pk)
            if row is not None and (
                missed := form_versions.changed_since(request.POST[form_versions.FIELD], _values(row))
            ):
                fields = [form_versions.Change(label_of(row, name), in_words(row, name)) for name in missed]
                messages.warning(request, form_versions.deletion_words(fields, row))
                return HttpResponseRedirect(request.get_full_path())
            return super().delete_view(request, object_id, extra_context)

    def lock_for_deletion(self, pk: Any) -> Any:
        """Return the current row, locked until the caller's transaction ends; None if it was deleted."""
        return self.model._base_manager.select_for_update(no_key=True).filter(pk=pk).first()


def _values(row: models.Model) -> dict[str, Any]:
    return comparable(model_to_dict(row, exclude=[*BY_ITSELF]))


class DeletionAdmin(ConcurrentDeletionAdmin):
    """Mixin for each admin that deletes rows: the confirmation page counts the related rows that are deleted too."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return the rows' names, the number of deleted rows per kind, missing permissions, and protected kinds."""
        rows = list(objs)
        counts, kept = what_goes_with(self.model, [row.pk for row in rows])
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return [str(row) for row in rows], counts, lacking, kept


def what_goes_with(model: type[models.Model], pks: Iterable[Any]) -> tuple[dict[str, int], list[str]]:
    """Return the number of deleted rows per kind, these rows included, and the kinds that prevent the deletion."""
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
    """Return the foreign keys that refer to a model, including hidden ones and those to its proxies."""
    found = model._meta.concrete_model._meta.get_fields(include_hidden=True)  # type: ignore[union-attr]
    return [
        field
        for field in found
        if field.auto_created and (field.one_to_many or field.one_to_one) and not field.concrete
    ]
