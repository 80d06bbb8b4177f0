"""The one way in which tasks change, one or ten thousand of them: locked, compared, one UPDATE, history, messages.

1. Lock the project that they are moved to, then the rows in the order of their ids, so that two callers wait for each
   other and never for themselves.
2. Compare each with what is wanted: only what really changes is written, and told.
3. One UPDATE sets the fields, `updated_at`, and `completed_at`: now where a task becomes completed, nothing where it
   is not (any more), and untouched where it was completed before.
4. Their history in one INSERT, their messages in one INSERT; all of it in the caller's transaction or its own.
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
    """A task is not as the caller saw it: somebody else changed one of the fields that the caller's wish depends on."""


CHANGEABLE = frozenset({"project", "title", "description", "status", "due_date", "assignee", "priority"})
_AT_ONCE = 1_000  # tasks in memory


def change_tasks(
    ids: Iterable[int], actor: Any, wanted: dict[str, Any], seen: dict[str, Any] | None = None
) -> list[Task]:
    """Set the fields of `wanted` on these tasks; return those that changed by it, in the order of their ids.

    Ids of tasks that are gone are skipped. Raises ValueError for a field that is no one's to set, Gone where the
    project that they are moved to is gone, and TaskChanged where a field differs from its value in `seen`.
    """
    if unknown := set(wanted) - CHANGEABLE:
        raise ValueError(f"Not to be set on a task: {', '.join(sorted(unknown))}.")
    changed: list[Task] = []
    with transaction.atomic():
        if "project" in wanted:
            hold(wanted["project"])
        for some in _chunks(sorted(set(ids))):
            changed += _change(some, actor, wanted, seen or {})
        if changed:
            entries.bump()
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
        # Who did it: given, or nobody. Not the request's user by way of a thread's memory.
        Task.history.bulk_history_create(tasks, update=True, default_user=known(actor))
    realtime.tell(realtime.task_updated(task, found) for task, found in differences)
    return tasks


def hold(project: Project) -> None:
    """Keep the project that tasks are moved to from being deleted: projects are locked before tasks.

    Where it is gone already, the check of the foreign keys says so, if there is a task to be moved.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM projects_project WHERE id = %s FOR KEY SHARE", [project.pk])


def _set(task: Task, wanted: dict[str, Any], now: datetime) -> dict[str, tuple[Any, Any]]:
    """Set what differs on the instance; return before and after of each field."""
    found = {name: (getattr(task, name), value) for name, value in wanted.items() if getattr(task, name) != value}
    for name, (_, value) in found.items():
        setattr(task, name, value)
    if found:
        task.updated_at = now
    if "status" in found:
        task.completed_at = now if task.status == Task.Status.COMPLETED else None
    return found


def _completed(wanted: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The same as `_set` does, in SQL: only tasks that were not completed have no `completed_at`."""
    if "status" not in wanted:
        return {}
    return {"completed_at": Coalesce("completed_at", Value(now)) if wanted["status"] == Task.Status.COMPLETED else None}


def known(actor: Any) -> Any:
    """Return who history is to name: nobody for what has no user."""
    return actor if actor is not None and actor.is_authenticated else None


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
