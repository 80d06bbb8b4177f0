"""Erasure of one person from every app that registers an erasure (core/registry.py).

It works in transactions of bounded size, so that other requests do not wait long. It may be repeated, also after an
interruption, and then erases what is left. It does not cover logs, backups, and live messages, which are deleted after
LIVE_RETENTION_HOURS.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from core.registry import Erasure, Person, all_apps

AT_ONCE = 500  # rows per transaction


def count(person: Person) -> dict[str, int]:
    """Count what `erase` would delete, by kind."""
    return {kind: number for each in _erasures() for kind, number in each.count(person).items()}


def erase(person: Person) -> dict[str, int]:
    """Delete everything; return by kind how many rows were deleted."""
    return {kind: number for each in _erasures() for kind, number in each.erase(person).items()}


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete these rows, AT_ONCE per transaction; return how many were deleted."""
    total = 0
    while ids := list(rows.values_list("pk", flat=True)[:AT_ONCE]):
        total += rows.model.objects.filter(pk__in=ids).delete()[0]
    return total


def _erasures() -> list[Erasure]:
    return [app.erasure for app in all_apps() if app.erasure]
