"""Daily quota, in bytes per application, of rejected events that are kept. It prevents a sender from filling the disk.

The sum of each day is a row in Postgres (events/models/rejected_day.py). It is read together with the write keys, and
increased by each committed group. This process adds what it has kept since the last read. So the quota can be exceeded
only by what other processes keep within two seconds. Rejected events beyond the quota get the usual response, but they
are only counted, not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from django.conf import settings

from events.ingest.registry import Directory
from events.validation.event import Item


class Quota:
    """The bytes of rejected events that are kept today, per application."""

    def __init__(self, directory: Directory) -> None:
        self._directory, self._most = directory, settings.EVENT_REJECTED_MB_PER_DAY * 1024 * 1024
        self._day: date | None = None
        self._bytes: dict[int, int] = {}

    def decide(self, application: int, items: Sequence[Item]) -> None:
        """Set `is_kept` to False on the rejected items that exceed the quota."""
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
