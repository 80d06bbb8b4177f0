"""Compiles schemas from the database. A schema that cannot be used affects only the events of its own type."""

from __future__ import annotations

import logging
from typing import Any

from events.validation.budget import Budget
from events.validation.errors import ValidationReason, reason
from events.validation.json_numbers import read_stored
from events.validation.schemas import Checker, compiled

log = logging.getLogger(__name__)  # the standard library's, because a process without Django imports this module


class BrokenSchema:
    """Replaces a stored schema that cannot be used. Every event of its type becomes a rejected event."""

    def __init__(self, why: str) -> None:
        self._why = f"The schema of this event type cannot be used: {why} Publish another schema and replay."

    def validate(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        return [reason("broken_schema", [], self._why)]


def stored(text: str) -> Checker:
    """Return the validator for a schema's JSON text from the database: a BrokenSchema if the text cannot be used."""
    try:
        return compiled(read_stored(text))
    except Exception as error:
        log.error("A stored schema cannot be used: %s", error)
        return BrokenSchema(str(error))
