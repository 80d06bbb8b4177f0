"""Saving of rows that have a history, with user and reason. A name that is taken raises ChangeRefused."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from events.models import Application, EventType


class ChangeRefused(Exception):
    """The requested change contradicts the stored data. The exception's text says why."""


def save(row: Application | EventType, actor: Any, reason: str, fields: list[str] | None = None) -> None:
    row._history_user, row._change_reason = actor, reason  # type: ignore[union-attr]
    try:
        with transaction.atomic():
            row.save(update_fields=fields)
    except IntegrityError as error:
        if "unique" not in str(error):
            raise
        raise ChangeRefused(f"{str(row._meta.verbose_name).capitalize()} {row} exists already.") from error


def add_history(application: Application, actor: Any, reason: str) -> None:
    """Add a history entry for a change outside the row itself."""
    Application.history.bulk_history_create(
        [application], update=True, default_user=actor, default_change_reason=reason
    )
