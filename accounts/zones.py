"""Time zones: by name, and each person's own.

A person's zone is chosen on the page "My access". Until then it is the one that the browser names first; for a person
who was never signed in, it is that of the installation (TIME_ZONE).
"""

from __future__ import annotations

from datetime import tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.db import IntegrityError
from django.utils import timezone

from accounts.models import Preferences

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


def zone_of(user: Any) -> tzinfo:
    """Return a person's own zone, or the installation's for a person without one, or for None."""
    name = Preferences.objects.filter(user=user.pk).values_list("time_zone", flat=True).first() if user else ""
    return zone_named(name or "") or timezone.get_default_timezone()


def choose_zone(*, user: Any, name: str) -> None:
    """Set a person's own zone. Raises ValueError for a name that is unknown."""
    if zone_named(name) is None:
        raise ValueError(f"{name[:MAX_LENGTH]} is not a known time zone.")
    Preferences.objects.update_or_create(user_id=user.pk, defaults={"time_zone": name})


def zone_of_visit(user: Any, browser_zone: str) -> tzinfo:
    """Return a person's own zone. One who has none gets the one that the browser names, if that is known."""
    found = Preferences.objects.filter(user=user.pk).values_list("time_zone", flat=True).first()
    if found is None and zone_named(browser_zone):
        try:
            row, _ = Preferences.objects.get_or_create(user_id=user.pk, defaults={"time_zone": browser_zone})
            found = row.time_zone
        except IntegrityError:  # the account was deleted at this moment
            found = browser_zone
    return zone_named(found or "") or timezone.get_default_timezone()
