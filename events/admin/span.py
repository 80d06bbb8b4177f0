"""A range of time as it stands in an address: a preset that moves with the clock, or two moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

PRESETS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "all": ("All", None),
}
USUAL = "24h"


@dataclass(frozen=True)
class Span:
    """`start` and `end` are None where it is open: a preset has no end, for it goes with the clock."""

    preset: str  # "" for two moments
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, asked: Any, usual: str = USUAL) -> Span:
        """Read `from` and `to`, else `range`, of an address; what makes no sense is passed over."""
        start, end = moment(asked.get("from", "")), moment(asked.get("to", ""))
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
        """Return what an address needs to mean this range again."""
        if self.preset:
            return {"range": self.preset}
        ends = {"from": self.start, "to": self.end}
        return {name: written(at) for name, at in ends.items() if at}

    def inputs(self) -> dict[str, str]:
        """Return the two moments as fields of a form want them, in the viewer's zone."""
        ends = {"start": self.start, "end": self.end}
        return {name: f"{timezone.localtime(at):%Y-%m-%dT%H:%M}" if at else "" for name, at in ends.items()}


def moment(text: str) -> datetime | None:
    """Read a moment; one without a zone is meant in the viewer's. None if it is none."""
    try:
        at = parse_datetime(text.strip()[:40].replace("Z", "+00:00"))
        if at is None:
            return None
        at = at if at.tzinfo else timezone.make_aware(at)
        # A zone may move what is just within the years that there are out of them.
        return at if 1900 <= at.year <= 9000 else None
    except (ValueError, OverflowError):
        return None


def written(at: datetime) -> str:
    """Write a moment so that everybody reads the same, whatever their zone."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
