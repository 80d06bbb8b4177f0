"""Variables of an environment, on its settings form. A secret value is never shown again, only replaced."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminTextInputWidget

from testrunner.models import EnvironmentVariable

KEPT = "••••••••  (kept; type to replace it)"


class VariableForm(forms.ModelForm):
    class Meta:
        model = EnvironmentVariable
        fields = ["name", "value", "secret"]
        widgets = {"value": UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.instance.secret:
            self.initial["value"] = ""
            self.fields["value"].widget.attrs["placeholder"] = KEPT

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if self.instance.pk and self.instance.secret and not given.get("value"):
            if not given.get("secret"):
                self.add_error("secret", "A value that was secret is not shown. Type a new one to have it shown.")
            given["value"] = EnvironmentVariable.objects.values_list("value", flat=True).get(pk=self.instance.pk)
        return given


class VariableInline(TabularInline):
    model = EnvironmentVariable
    form = VariableForm
    extra = 0
    hide_title = True
    verbose_name = "variable"
    verbose_name_plural = "variables that every test here sees"

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("testrunner.view_environmentvariable")
