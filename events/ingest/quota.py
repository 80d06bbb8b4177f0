"""How many bytes of rejected events are kept of one application a day, so that no sender fills the disk.

The sum of a day is a row in Postgres (events/models/rejected_day.py), read with the keys and added to with each group.
What this process has kept since is added here, so that the limit is exact but for what other processes keep within
two seconds. What is beyond it is answered as ever, and only counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from django.conf import settings

from events.ingest.registry import Directory
from events.validation.event import Item


class Quota:
    """What each application has had kept today."""

    def __init__(self, directory: Directory) -> None:
        self._directory, self._most = directory, settings.EVENT_REJECTED_MB_PER_DAY * 1024 * 1024
        self._day: date | None = None
        self._bytes: dict[int, int] = {}

    def decide(self, application: int, items: Sequence[Item]) -> None:
        """Mark the rejected items that are not kept."""
        rejected = [item for item in items if item.reasons]
        if not rejected or not self._most:
            return
        today = datetime.now(UTC).date()
        if today != self._day:
            self._day, self._bytes = today, {}
        taken = max(self._bytes.get(application, 0), self._directory.rejected_today.get(application, 0))
        for item in rejected:
            item.is_kept = taken + len(item.kept) <= self._most
            taken += len(item.kept) if item.is_kept else 0
        self._bytes[application] = taken
