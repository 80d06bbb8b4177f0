"""Variables of an environment, on its settings form. A secret value is never shown again, only replaced."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from testrunner.models import EnvironmentVariable

HIDDEN = "••••••••"
KEPT = f"{HIDDEN}  (kept; type to replace it)"


class VariableForm(forms.ModelForm):
    class Meta:
        model = EnvironmentVariable
        fields = ["name", "value", "secret"]
        widgets = {"value": UnfoldAdminTextareaWidget(attrs={"rows": 1, "autocomplete": "off"})}  # a key has many lines

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "value" in self.fields and self.instance.pk and self.instance.secret:
            self.initial["value"] = ""
            self.fields["value"].widget.attrs["placeholder"] = KEPT

    def clean_value(self) -> str:
        return self.cleaned_data["value"].replace("\r\n", "\n")  # browsers send the lines of a key with \r\n

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if "value" in self.fields and self.instance.pk and self.instance.secret and not given.get("value"):
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
    readonly_fields = ["shown"]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Use the read-only `shown` for users who may not change variables, because `value` would show secrets."""
        value = "value" if self.has_change_permission(request, obj) else "shown"
        return ["name", value, "secret"]

    @display(description="Value")
    def shown(self, variable: EnvironmentVariable) -> str:
        return HIDDEN if variable.secret else variable.value

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("testrunner.view_environmentvariable")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Require the change permission as well: without it the new row would have no field for the value."""
        return super().has_add_permission(request, obj) and self.has_change_permission(request, obj)
