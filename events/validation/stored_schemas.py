"""Schemas from the database: one that cannot be used harms the events of its own type only."""

from __future__ import annotations

import logging
from typing import Any

from events.validation.budget import Budget
from events.validation.errors import ValidationReason, reason
from events.validation.json_numbers import read_stored
from events.validation.schemas import Checker, compiled

log = logging.getLogger(__name__)  # the standard library's: a process without Django imports this


class BrokenSchema:
    """Stands for a stored schema that cannot be used: every event of its type is rejected, and kept."""

    def __init__(self, why: str) -> None:
        self._why = f"The schema of this event type cannot be used: {why} Publish another schema and replay."

    def judge(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        return [reason("broken_schema", [], self._why)]


def stored(text: str) -> Checker:
    """Return what judges payloads by a schema's JSON text from the database, whatever it is."""
    try:
        return compiled(read_stored(text))
    except Exception as error:
        log.error("A stored schema cannot be used: %s", error)
        return BrokenSchema(str(error))
