"""Form field for a timestamp: date and time on the clock of the active time zone.

In the hour that a clock change repeats, one time means two timestamps. The widget then shows a second field, whose name
ends in `_offset`, to choose one; it preselects the stored one. A time that a clock change skips is a validation error,
which names the next valid time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from core.timezones import MissingTime, abbreviation, as_local, is_repeated, offset, shown, valid_moments, zone_words

TO_THE_MINUTE = "%Y-%m-%dT%H:%M"
INVALID = "Enter a valid date/time. Example: 2026-11-21T09:30."


class Typed(NamedTuple):
    """Text of the widget's two fields."""

    clock: str
    offset: str


class MomentInput(forms.Widget):
    """Widget: a date and a time and, in a repeated hour, a choice between its two offsets."""

    template_name = "core/moment.html"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Typed:
        return Typed(data.get(name) or "", data.get(f"{name}_offset") or "")

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return name not in data

    def format_value(self, value: Any) -> str:
        return as_typed(value).clock

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        typed = as_typed(value)
        context["widget"] |= {"value": typed.clock, "choices": choices_of(typed.clock), "offset": typed.offset}
        return context


class HiddenMoment(forms.DateTimeInput):
    """Hidden initial value of the field, to the minute; in a repeated hour with its UTC offset."""

    input_type = "hidden"

    def format_value(self, value: Any) -> str:
        typed = as_typed(value)
        return "".join(typed) if choices_of(typed.clock) else typed.clock


class MomentField(forms.Field):
    """Timestamp in UTC. Text with an explicit UTC offset is used as it is."""

    widget = MomentInput
    hidden_widget = HiddenMoment

    def to_python(self, value: Any) -> datetime | None:
        if isinstance(value, datetime):
            return value
        typed = value if isinstance(value, Typed) else Typed(value or "", "")
        return read(typed) if typed.clock else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare to the minute, which is what the form shows: saving another field keeps the timestamp's seconds."""
        try:
            return self.to_python(initial) != self.to_python(data)
        except forms.ValidationError:
            return True


def read(typed: Typed) -> datetime:
    """Return the timestamp. Raises ValidationError with a message that says what to enter instead."""
    try:
        found = parse_datetime(typed.clock.strip()[:40])
        if found is None:
            raise forms.ValidationError(INVALID, code="invalid")
        if found.tzinfo is not None:
            return found
        zone = timezone.get_current_timezone()
        moments = valid_moments(found, zone)
    except MissingTime as missing:
        raise forms.ValidationError(str(missing), code="missing") from missing
    except (ValueError, OverflowError) as error:
        raise forms.ValidationError(INVALID, code="invalid") from error
    if len(moments) == 1:
        return moments[0]
    for at in moments:
        if offset(at.astimezone(zone)) == typed.offset:
            return at
    words = f"{shown(found)} occurs twice in {zone_words(zone)}, because the clocks go back. Choose which one is meant."
    raise forms.ValidationError(words, code="repeated")


def as_typed(value: Any) -> Typed:
    """Return the text of the two fields for a timestamp, for its text, or for what a user typed."""
    if value is None:
        return Typed("", "")
    typed = value if isinstance(value, Typed) else Typed(value, "") if isinstance(value, str) else None
    moment = value if typed is None else _with_offset(typed.clock)
    if moment is None:
        return typed or Typed("", "")
    local = as_local(moment, timezone.get_current_timezone())
    return Typed(local.strftime(TO_THE_MINUTE), offset(local))


def _with_offset(text: str) -> datetime | None:
    """Return the timestamp of a text with an explicit UTC offset, else None."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def choices_of(clock: str) -> list[tuple[str, str]]:
    """Return (offset, label) for both meanings of a repeated time; an empty list for any other text."""
    try:
        found = parse_datetime(clock)
        if found is None or found.tzinfo is not None:
            return []
        zone = timezone.get_current_timezone()
        local = [at.astimezone(zone) for at in valid_moments(found, zone)]
    except (ValueError, OverflowError):
        return []
    if not is_repeated(local[0]):
        return []
    return [
        (offset(at), f"{order}: {abbreviation(at)} (UTC{offset(at)})")
        for order, at in zip(("First", "Second"), local, strict=True)
    ]
