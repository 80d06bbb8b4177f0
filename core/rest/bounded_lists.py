"""Lists in request bodies: their length is checked first, and validation stops after a few wrong elements.

REST framework validates every element before it checks the length, and reports an error for each wrong one.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

MAX_ELEMENTS = 1_000  # unless a field sets another limit
MAX_ERRORS = 10  # elements named in one validation error


class BoundedList(serializers.ListField):
    """ListField whose cost does not grow with the number of wrong elements."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": MAX_ELEMENTS, **options})

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        """Return the values of the elements. Raises ValidationError for at most MAX_ERRORS elements."""
        if len(data) > (self.max_length or 0):
            raise serializers.ValidationError([self.error_messages["max_length"].format(max_length=self.max_length)])
        values: list[Any] = []
        problems: Any = {}  # by index
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
