"""Sections that other apps add to the daily report.

An app in a higher layer registers a function in its `ready`; `config` does so for the apps beside this one. A report
stores `[{"name": …, "rows": [{"name": …, "number": …}, …]}, …]`, sorted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import structlog
from django.db import transaction

log = structlog.get_logger(__name__)

Rows = Iterable[tuple[str, int]]  # (label of what was counted, number)
_SECTIONS: dict[str, Callable[[date], Rows]] = {}


def register(name: str, count: Callable[[date], Rows]) -> None:
    """Add a section to every future report. `count` gets a past day of TIME_ZONE and should take at most a second.

    A section without rows is left out.
    """
    _SECTIONS[name] = count


def happened_on(day: date) -> list[dict[str, Any]]:
    """Return every section's rows of a day. A section that fails is left out and does not prevent the report."""
    found = [(name, _counted(name, day)) for name in sorted(_SECTIONS)]
    return [{"name": name, "rows": rows} for name, rows in found if rows]


def _counted(name: str, day: date) -> list[dict[str, Any]]:
    try:
        with transaction.atomic():  # a failed query must not abort the transaction that writes the report
            return [{"name": row, "number": number} for row, number in _SECTIONS[name](day)]
    except Exception:
        log.exception("report_section_failed", section=name, day=str(day))
        return []
