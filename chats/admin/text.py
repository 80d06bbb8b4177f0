"""A text of a form, counted as its page counts it."""

from typing import Any

from django import forms


class MultilineField(forms.CharField):
    """Counts an end of line as one character, as the page does; browsers send two."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")
