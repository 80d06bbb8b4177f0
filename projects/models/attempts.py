"""What rows that are mailed have in common: a limit of attempts, and updates that wait for no lock."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

MAX_ATTEMPTS = 5


def update_unlocked(rows: models.QuerySet[Any], **values: Any) -> list[int]:
    """Update the rows that no other transaction has locked. Return their ids.

    A statement that waits for one row while it holds others can deadlock with a deletion. Locked rows are being deleted
    or claimed; the next run handles those that remain.
    """
    with transaction.atomic():
        free = list(rows.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True))
        rows.model._base_manager.filter(pk__in=free).update(**values)
    return free
