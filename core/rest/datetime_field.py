"""Timestamps in request bodies, with their time zone, for every app's REST API."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import serializers


class ZonedDateTimeField(serializers.DateTimeField):
    """Timestamp field that refuses values without a time zone instead of guessing one."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            naive = isinstance(value, str) and (found := parse_datetime(value)) is not None and found.tzinfo is None
        except ValueError:
            naive = False  # not a date: the base field reports the error
        if naive:
            raise serializers.ValidationError("Say in which zone: 2030-01-31T09:00:00Z, or +02:00 instead of Z.")
        return super().to_internal_value(value)
