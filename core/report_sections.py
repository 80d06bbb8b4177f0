"""What else happened in the house: the sections that other apps add to the daily report.

An app on a floor above registers a function when it is ready; `config` does so for the apps beside this one. What a
report stores is `[{"name": …, "rows": [{"name": …, "number": …}, …]}, …]`, in the order of the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import structlog
from django.db import transaction

log = structlog.get_logger(__name__)

Rows = Iterable[tuple[str, int]]  # what was counted, in words, and how many
_SECTIONS: dict[str, Callable[[date], Rows]] = {}


def register(name: str, count: Callable[[date], Rows]) -> None:
    """Add a section to every report to come. `count` gets a day of TIME_ZONE that is over, and has about a second.

    No rows, no section.
    """
    _SECTIONS[name] = count


def happened_on(day: date) -> list[dict[str, Any]]:
    """Return every section's rows of a day. One that fails has none, and costs nobody the report."""
    found = [(name, _counted(name, day)) for name in sorted(_SECTIONS)]
    return [{"name": name, "rows": rows} for name, rows in found if rows]


def _counted(name: str, day: date) -> list[dict[str, Any]]:
    try:
        with transaction.atomic():  # a failed query must not end the transaction that the report is written in
            return [{"name": row, "number": number} for row, number in _SECTIONS[name](day)]
    except Exception:
        log.exception("report_section_failed", section=name, day=str(day))
        return []
