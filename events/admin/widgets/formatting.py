"""Durations as text."""

from __future__ import annotations

from datetime import timedelta

from events import services

MAX_NORMAL_LAG = 5.0  # seconds that the digest may be late without a notice


def duration(length: timedelta) -> str:
    """Return a duration in its two largest units."""
    seconds = length.total_seconds()
    if not seconds:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else f"{seconds * 1000:.0f} ms"
    units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]
    at = next(number for number, (_, size) in enumerate(units) if seconds >= size)
    (big, size), rest = units[at], int(seconds % units[at][1])
    words = f"{int(seconds // size)} {big}"
    if at == len(units) - 1 or rest < units[at + 1][1]:
        return words
    return f"{words} {rest // units[at + 1][1]} {units[at + 1][0]}"


def digest_lag() -> str:
    """Return how late the counts are, or "" if the delay is normal."""
    behind = services.lag()
    return duration(timedelta(seconds=round(behind))) if behind > MAX_NORMAL_LAG else ""
