"""A text field of a form that counts characters as the browser's page does."""

from typing import Any

from django import forms


class MultilineField(forms.CharField):
    """Text field that counts a line break as one character, like the page. Browsers submit two (CR LF)."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")
