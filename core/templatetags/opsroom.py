"""`{% load opsroom %}`: display of times and states, the same in every app."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.admin.chart import sparkline_bars
from core.timezones import abbreviation, as_local, is_repeated, zone_words

register = template.Library()


class StateStyle(NamedTuple):
    """Appearance of a kind of state: an icon beside the word, so that colour is never the only sign."""

    kind: str
    icon: str


WAITING = StateStyle("waiting", "schedule")  # grey
MOVING = StateStyle("moving", "autorenew")  # blue
AMBER = StateStyle("attention", "priority_high")  # needs attention
GOOD = StateStyle("good", "check")  # green
FAILED = StateStyle("failed", "close")  # red
LATE = StateStyle("failed", "alarm")  # red: overdue
STOPPED = StateStyle("stopped", "block")  # striped: ended by a person
UNKNOWN = StateStyle("waiting", "question_mark")

# The styles of all states. Add each new state of an app here.
STATE_STYLES: dict[str, StateStyle] = {
    **dict.fromkeys(["scheduled", "queued", "waiting", "pending", "open", "disabled", "reserved", "idle"], WAITING),
    **dict.fromkeys(["sending", "running", "preparing", "processing", "active", "in_progress", "busy"], MOVING),
    **dict.fromkeys(["paused", "degraded", "unread", "lost", "skipped", "xpassed", "locked", "muted"], AMBER),
    **dict.fromkeys(["sent", "success", "passed", "xfailed", "done", "completed", "processed"], GOOD),
    **dict.fromkeys(["failed", "error", "timed_out", "rejected", "away", "down", "locked out"], FAILED),
    **dict.fromkeys(["answers", "free", "read", "on"], GOOD),
    **dict.fromkeys(["overdue", "missed"], LATE),
    **dict.fromkeys(["cancelled", "retracted", "off"], STOPPED),
}


@register.simple_tag
def state(value: str, word: str = "") -> SafeString:
    """Return the label of a state, such as "sending". `word` replaces its text, not its style."""
    style = STATE_STYLES.get(str(value).lower(), UNKNOWN)
    text = word or str(value).replace("_", " ").capitalize()
    return format_html(
        '<span class="state state-{}"><span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        style.kind,
        style.icon,
        text,
    )


@register.inclusion_tag("core/sparkline.html")
def sparkline(numbers: Sequence[int | None], label: str) -> dict[str, Any]:
    """Draw one small bar for each number; `label` says what they are."""
    return {"bars": sparkline_bars(numbers), "label": label}


@register.simple_tag
def when(moment: datetime | str | None, style: str = "short") -> SafeString:
    """Return a `<time>` in the viewer's time zone, which opsroom.js updates as it ages. Its title is exact.

    `style` is "short" (day and time), "time" or "ago". An empty value is a dash. In a repeated hour, the zone's
    abbreviation shows which one is meant.
    """
    if not isinstance(moment, datetime):  # None, or the empty text of a missing variable
        return format_html('<span class="never">{}</span>', "–")
    zone = timezone.get_current_timezone()
    utc = moment.astimezone(UTC)
    local = as_local(utc, zone)
    which = f" {abbreviation(local)}" if is_repeated(local) else ""
    shown = f"{local:%H:%M}" if style == "time" else f"{local.day} {local:%b %Y, %H:%M}"
    return format_html(
        '<time class="when" data-style="{}" data-zone="{}"{} datetime="{}" title="{}">{}{}</time>',
        style,
        zone,
        format_html(' data-which="{}"', which) if which else "",
        utc.isoformat(timespec="milliseconds"),
        _exact(local, zone),
        shown,
        which,
    )


def _exact(local: datetime, zone: tzinfo) -> str:
    name = "" if str(zone) == "UTC" else f" ({zone_words(zone)})"
    return f"{local.day} {local:%B %Y, %H:%M:%S} {abbreviation(local)}{name}"
