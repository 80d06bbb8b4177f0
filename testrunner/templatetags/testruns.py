"""Template filters of the test runner (`{% load testruns %}`): durations, icons and signs."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import template

register = template.Library()
ICONS = {"free": "check", "busy": "autorenew", "reserved": "lock", "disabled": "do_not_disturb_on"}
SIGNS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "–", "xfailed": "✓", "xpassed": "?"}


@register.filter
def length_of_time(length: timedelta | None) -> str:
    """Return `4 s`, `3 min 20 s` or `2 h 5 min`."""
    if length is None:
        return "–"
    seconds = max(int(length.total_seconds()), 0)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


@register.filter
def seconds(length: float) -> str:
    """Return a test's duration: `12 ms`, `3.41 s`, `2 min 5 s`."""
    if length < 0.001:
        return "< 1 ms"
    if length < 1:
        return f"{length * 1000:.0f} ms"
    return f"{length:.2f} s" if length < 60 else length_of_time(timedelta(seconds=length))


@register.filter
def item(found: Mapping[str, Any], name: str) -> Any:
    """Look up a key that a template cannot write after a dot."""
    return found.get(name)


@register.filter
def tile_icon(state: str) -> str:
    return ICONS[state]


@register.filter
def outcome_sign(outcome: str) -> str:
    return SIGNS[outcome]
