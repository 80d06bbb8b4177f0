"""The single code path that changes tasks, one or ten thousand: lock, compare, one UPDATE, history, messages.

1. Lock the project the tasks are moved to, then the rows in the order of their ids, so that concurrent callers wait for
   each other and never deadlock.
2. Compare each task with the wanted values. Only real changes are written and published.
3. One UPDATE sets the fields, `updated_at`, and `completed_at`: now for tasks that become completed, NULL for tasks
   that are not completed, and unchanged for tasks that were already completed.
4. One INSERT writes their history, another their messages, all in the caller's transaction or its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.errors import still_there
from core.list_cache import entries
from projects import realtime
from projects.models import Project, Task


class TaskChanged(Exception):
    """A task differs from what the caller saw: another user changed a field that the caller's change depends on."""


_AT_ONCE = 1_000  # tasks in memory at a time


def change_tasks(
    ids: Iterable[int], actor: Any, wanted: dict[str, Any], seen: dict[str, Any] | None = None
) -> list[Task]:
    """Set the fields of `wanted` on these tasks. Return the tasks that changed, in the order of their ids.

    Ids of deleted tasks are skipped. Raises ValueError for a field that cannot be set, RelatedRowGone if the project
    they are moved to was deleted, and TaskChanged if a field differs from its value in `seen`.
    """
    if unknown := set(wanted) - {*Task.EDITABLE}:
        raise ValueError(f"Not to be set on a task: {', '.join(sorted(unknown))}.")
    changed: list[Task] = []
    with transaction.atomic():
        if "project" in wanted:
            lock_project(wanted["project"])
        for some in _chunks(sorted(set(ids))):
            changed += _change(some, actor, wanted, seen or {})
        if changed:
            entries.invalidate()
    return changed


def _change(ids: list[int], actor: Any, wanted: dict[str, Any], seen: dict[str, Any]) -> list[Task]:
    now = timezone.now()
    locked = list(Task.objects.filter(pk__in=ids).order_by("pk").select_for_update(of=("self",)).for_reading())
    if any(getattr(task, name) != value for task in locked for name, value in seen.items()):
        raise TaskChanged
    differences = [(task, found) for task in locked if (found := _set(task, wanted, now))]
    if not differences:
        return []
    tasks = [task for task, _ in differences]
    with still_there("project"):
        Task.objects.filter(pk__in=[task.pk for task in tasks]).update(
            **wanted, updated_at=now, **_completed(wanted, now)
        )
        # The given actor or None; by default simple_history would take the user of the thread's current request.
        Task.history.bulk_history_create(tasks, update=True, default_user=known(actor))
    realtime.publish(realtime.task_updated(task, found) for task, found in differences)
    return tasks


def lock_project(project: Project) -> None:
    """Lock the project that tasks are moved to against deletion, because projects are locked before tasks.

    If it was already deleted, the foreign key check raises the error, provided there is a task to move.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM projects_project WHERE id = %s FOR KEY SHARE", [project.pk])


def _set(task: Task, wanted: dict[str, Any], now: datetime) -> dict[str, tuple[Any, Any]]:
    """Set the fields that differ on the instance. Return (before, after) of each."""
    found = {name: (getattr(task, name), value) for name, value in wanted.items() if getattr(task, name) != value}
    for name, (_, value) in found.items():
        setattr(task, name, value)
    if found:
        task.updated_at = now
    if "status" in found:
        task.completed_at = now if task.status == Task.Status.COMPLETED else None
    return found


def _completed(wanted: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the SQL equivalent of `_set` for `completed_at`.

    Tasks that were not completed have none, so COALESCE keeps it.
    """
    if "status" not in wanted:
        return {}
    return {"completed_at": Coalesce("completed_at", Value(now)) if wanted["status"] == Task.Status.COMPLETED else None}


def known(actor: Any) -> Any:
    """Return the user to record in the history, or None for an actor without an account."""
    return actor if actor is not None and actor.is_authenticated else None


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
