"""Lists in bodies that clients send: their length is checked first, and a few wrong elements are enough to refuse one.

REST framework looks at every element before it checks the length, and answers with a sentence for each wrong one.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

MAX_ELEMENTS = 1_000  # unless a field says otherwise
MAX_ERRORS = 10  # elements that are named in one refusal


class BoundedList(serializers.ListField):
    """A ListField whose work does not grow with what is wrong about its value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": MAX_ELEMENTS, **options})

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        """Return the values of the elements. Raises ValidationError with at most MAX_ERRORS of them."""
        if len(data) > (self.max_length or 0):
            raise serializers.ValidationError([self.error_messages["max_length"].format(max_length=self.max_length)])
        values: list[Any] = []
        problems: Any = {}  # by place
        for place, element in enumerate(data):
            try:
                values.append(self.child.run_validation(element))
            except serializers.ValidationError as error:
                problems[place] = error.detail
                if len(problems) == MAX_ERRORS:
                    break
        if problems:
            raise serializers.ValidationError(problems)
        return values
