"""Admin forms with conflict detection: the row, or a unique name, may change between opening and saving the form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.db import IntegrityError, connection
from django.db.models import Model
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse

from core.admin import form_versions

# Fields that change without a user's edit, or that have a form of their own.
BY_ITSELF = {"last_login", "password", "last_run_at", "total_run_count"}


class ConcurrentFormsAdmin(ModelAdmin):
    """Mixin for each admin whose form is saved by Django, which writes all columns of a row.

    A form is refused if another user changed, after it was opened, a value that the form would overwrite. The error
    names the changed fields and the user. The form keeps what was typed and can be sent again.
    """

    change_form_before_template = "core/seen.html"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row. For a POST within a transaction, lock the row and read it again.

        Without the lock, saving would reset columns that the form does not contain, and would insert a row again that
        was deleted in the meantime.
        """
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        return self.model._base_manager.select_for_update(no_key=True).filter(pk=found.pk).first()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if not change or request.method != "POST" or form_versions.FIELD not in request.POST:
            return form
        return type(form.__name__, (_SeenForm, form), {"admin": self, "request": request})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row = context.get("original")
        if row is not None and self.has_change_permission(request, row):
            form = context["adminform"].form
            # If the form is refused for another reason, its user has still seen only the first version.
            missed = getattr(form, "missed", None)
            kept = None if missed else request.POST.get(form_versions.FIELD)
            context[form_versions.FIELD.strip("_")] = kept or form_versions.token_of(
                self._values(request, row.pk, form)
            )
        return super().render_change_form(request, context, *args, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form's own error if the database finds that another row already has this unique value."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:  # nothing was written: the form's check ran before the other row was committed
            return super().changeform_view(request, object_id, form_url, extra_context)

    def _values(self, request: HttpRequest, pk: Any, form: forms.ModelForm) -> dict[str, Any]:
        """Return the database's current values for what the form shows: its fields and the rows of its inlines."""
        row = self.model._base_manager.get(pk=pk)
        names = set(form.fields) - BY_ITSELF
        values = comparable(model_to_dict(row, fields=names))
        for inline in self.get_inline_instances(request, row):
            key = next(
                field for field in inline.model._meta.fields if field.is_relation and field.related_model is self.model
            )
            rows = inline.model._base_manager.filter(**{key.name: row}).order_by("pk")
            values[str(inline.opts.verbose_name_plural)] = [
                {"id": each.pk, **model_to_dict(each, exclude=list(BY_ITSELF))} for each in rows
            ]
        return values


class _SeenForm(forms.ModelForm):
    """Form that refuses to overwrite values that changed after it was opened."""

    admin: ConcurrentFormsAdmin
    request: HttpRequest
    missed: Sequence[str] = ()

    def clean(self) -> Any:
        data = super().clean()
        values = self.admin._values(self.request, self.instance.pk, self)
        self.missed = [
            name
            for name in form_versions.changed_since(self.request.POST[form_versions.FIELD], values)
            if self._overwrites(name, values[name])
        ]
        if self.missed:
            changes = [self._change(name) for name in self.missed]
            self.add_error(None, form_versions.words_for(changes, self.instance, self.request.get_full_path()))
        return data

    def _overwrites(self, name: str, present: Any) -> bool:
        """Return whether the form sets a value that differs from the present one.

        A field with `show_hidden_initial` knows its initial value and writes only what the user changed.
        """
        if (field := self.fields.get(name)) is None:
            return True
        is_written = not field.show_hidden_initial or name in self.changed_data
        return is_written and field.has_changed(present, self[name].data)

    def _change(self, name: str) -> form_versions.Change:
        if name not in self.fields:
            return form_versions.Change(name.capitalize(), "")
        row = type(self.instance)._base_manager.get(pk=self.instance.pk)
        return form_versions.Change(str(self.fields[name].label or name), in_words(row, name))


def in_words(row: Model, name: str) -> str:
    """Return the present value of a field as one line of text for people, at most 80 characters."""
    field = row._meta.get_field(name)
    if getattr(field, "many_to_many", False):
        text = ", ".join(map(str, getattr(row, name).all())) or "none"
    elif getattr(field, "choices", None):
        text = str(getattr(row, f"get_{name}_display")())
    else:
        value = getattr(row, name)
        text = "empty" if value in (None, "") else str(value)
        text = {"True": "yes", "False": "no"}.get(text, text) if isinstance(value, bool) else text
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `model_to_dict` with the keys of related rows sorted, so that they can be compared."""
    return {name: sorted(_keys(value)) if isinstance(value, list) else value for name, value in values.items()}


def label_of(row: Model, name: str) -> str:
    return str(getattr(row._meta.get_field(name), "verbose_name", name)).capitalize()


def _keys(rows: list[Any]) -> list[Any]:
    return [row.pk if isinstance(row, Model) else row for row in rows]
