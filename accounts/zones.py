"""Time zones by name, and each user's own time zone.

A user chooses the time zone on the page "My access". Until then it is the first one their browser reports. For a user
who never signed in, it is that of the installation (TIME_ZONE).
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
# Entries that are not zones, and zones without a place, which browsers do not offer either.
NOT_OFFERED = ("Etc/", "SystemV/", "posix/", "right/", "localtime", "posixrules", "Factory")


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone with this IANA name, or None if the name is unknown or invalid."""
    if not name or len(name) > MAX_LENGTH or name in ("localtime", "Factory"):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1)
def zone_names() -> list[str]:
    """Return the names that a user can choose from, sorted."""
    places = [name for name in available_timezones() if "/" in name and not name.startswith(NOT_OFFERED)]
    return ["UTC", *sorted(places)]


def zone_of(user: Any) -> tzinfo:
    """Return the user's own time zone, or the installation's if the user has none or `user` is not given."""
    name = Preferences.objects.filter(user=user.pk).values_list("time_zone", flat=True).first() if user else ""
    return zone_named(name or "") or timezone.get_default_timezone()


def choose_zone(*, user: Any, name: str) -> None:
    """Set a user's time zone. Raises ValueError for an unknown name."""
    if zone_named(name) is None:
        raise ValueError(f"{name[:MAX_LENGTH]} is not a known time zone.")
    Preferences.objects.update_or_create(user_id=user.pk, defaults={"time_zone": name})


def zone_of_visit(user: Any, browser_zone: str) -> tzinfo:
    """Return the user's own time zone. A user without one gets the browser's, if it is known."""
    found = Preferences.objects.filter(user=user.pk).values_list("time_zone", flat=True).first()
    if found is None and zone_named(browser_zone):
        try:
            row, _ = Preferences.objects.get_or_create(user_id=user.pk, defaults={"time_zone": browser_zone})
            found = row.time_zone
        except IntegrityError:  # the account was deleted concurrently
            found = browser_zone
    return zone_named(found or "") or timezone.get_default_timezone()
