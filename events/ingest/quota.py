"""Daily quota, in bytes per application, of rejected events that are kept. It prevents a sender from filling the disk.

The sum of each day is a row in Postgres (events/models/rejected_day.py). It is read together with the write keys, and
increased by each committed group. This process adds what it has kept since the last read, and forgets that at the next:
repeated events that were not stored again, and groups whose commit failed, count for two seconds only. So the quota can
be exceeded only by what is being committed during a read and by what other processes keep within two seconds. Rejected
events beyond the quota get the usual response, but they are only counted, not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from django.conf import settings

from events.ingest.registry import RegistryCache
from events.validation.event import Item


class Quota:
    """The bytes of rejected events that are kept today, per application."""

    def __init__(self, registry: RegistryCache) -> None:
        self._registry, self._max_bytes = registry, settings.EVENT_REJECTED_MB_PER_DAY * 1024 * 1024
        self._day: date | None = None
        self._stored: dict[int, int] = {}  # by application, as last read from Postgres
        self._added: dict[int, int] = {}  # since then

    def apply(self, application: int, items: Sequence[Item]) -> None:
        """Set `is_kept` to False on the rejected items that exceed the quota."""
        rejected = [item for item in items if item.reasons]
        if not rejected or not self._max_bytes:
            return
        today = datetime.now(UTC).date()
        if today != self._day or self._stored is not self._registry.rejected_today:
            self._day, self._stored, self._added = today, self._registry.rejected_today, {}
        taken = self._stored.get(application, 0) + self._added.get(application, 0)
        for item in rejected:
            item.is_kept = taken + len(item.kept) <= self._max_bytes
            if item.is_kept:
                taken += len(item.kept)
                self._added[application] = self._added.get(application, 0) + len(item.kept)
