"""Time zones by name."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

MAX_LENGTH = 64
# Files beside the zones, and zones without a place, which browsers do not offer either.
NOT_OFFERED = ("Etc/", "SystemV/", "posix/", "right/", "localtime", "posixrules", "Factory")


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone with this IANA name, or None for a name that is unknown or not a name at all."""
    if not name or len(name) > MAX_LENGTH or name in ("localtime", "Factory"):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1)
def zone_names() -> list[str]:
    """Return the names that a person chooses from, in order."""
    places = [name for name in available_timezones() if "/" in name and not name.startswith(NOT_OFFERED)]
    return ["UTC", *sorted(places)]
