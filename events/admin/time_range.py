"""A time range in a URL: a preset that ends now, or two timestamps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.safestring import SafeString

from core.admin.datetime_field import MomentInput, Typed, choices_of, read
from core.timezones import MissingTime

PRESETS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "all": ("All", None),
}
USUAL = "24h"


@dataclass(frozen=True)
class TimeRange:
    """A time range. `start` and `end` may be open (None); a preset has no end, because it moves with the clock."""

    preset: str  # "" for two timestamps
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, asked: Any, usual: str = USUAL) -> TimeRange:
        """Parse `from` and `to`, otherwise `range`, of a query. Invalid values are ignored."""
        start, end = _typed(asked, "from"), _typed(asked, "to", latest=True)
        if start and end and start >= end:
            start, end = end, start
        if start or end:
            return cls("", start, end)
        preset = asked.get("range", "")
        preset = preset if preset in PRESETS else usual
        length = PRESETS[preset][1]
        return cls(preset, timezone.now() - length if length else None, None)

    @property
    def words(self) -> str:
        return PRESETS[self.preset][0] if self.preset else "From – to"

    def as_query(self) -> dict[str, str]:
        """Return the query parameters that represent this range."""
        if self.preset:
            return {"range": self.preset}
        ends = {"from": self.start, "to": self.end}
        return {name: utc_text(at) for name, at in ends.items() if at}

    def inputs(self) -> dict[str, SafeString]:
        """Return the two form fields, in the viewer's time zone."""
        widget = MomentInput({"class": "events-input"})
        return {
            "start": widget.render("from", self.start, {"aria-label": "From"}),
            "end": widget.render("to", self.end, {"aria-label": "To"}),
        }


def _typed(asked: Any, name: str, *, latest: bool = False) -> datetime | None:
    """Parse a timestamp parameter. In a repeated hour without a chosen offset, a range includes the whole hour."""
    clock, chosen = asked.get(name, "").strip()[:40].replace("Z", "+00:00"), asked.get(f"{name}_offset", "")[:10]
    try:
        choices = choices_of(clock)
        at = read(Typed(clock, chosen or (choices[-1 if latest else 0][0] if choices else "")))
    except ValidationError as error:
        if not isinstance(error.__cause__, MissingTime):
            return None
        at = error.__cause__.change
    # The conversion to UTC could move a time near the limits outside the years that datetime supports.
    return at if 1900 <= at.year <= 9000 else None


def utc_text(at: datetime) -> str:
    """Return the timestamp in UTC, independent of the viewer's time zone."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
