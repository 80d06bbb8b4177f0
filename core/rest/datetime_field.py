"""Moments as clients write them: with their zone, for every app's REST interface."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import serializers


class ZonedDateTimeField(serializers.DateTimeField):
    """A moment: without a zone it is none, and is refused rather than guessed at."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            naive = isinstance(value, str) and (found := parse_datetime(value)) is not None and found.tzinfo is None
        except ValueError:
            naive = False  # no date at all: the field itself has the words for it
        if naive:
            raise serializers.ValidationError("Say in which zone: 2030-01-31T09:00:00Z, or +02:00 instead of Z.")
        return super().to_internal_value(value)
