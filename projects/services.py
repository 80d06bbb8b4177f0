"""Services that write projects, tasks and comments. The REST API, the admin, commands and other apps all use them.

Each call is one transaction that writes the row, its history and its live messages. After the commit, older cached
lists are no longer served. A call inside a caller's transaction joins it.

Locks are taken in one order: project, task, comment, reminder; rows of one table by id; users last, by the foreign key
checks. Rows of another app that follow a deletion may be locked in another order; `retried` handles the deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from core.database.deadlocks import retried
from core.errors import still_there
from core.list_cache import entries
from projects import realtime
from projects.models import Comment, Project, Task
from projects.task_updates import TaskChanged, change_tasks, known, lock_project

__all__ = [
    "TaskChanged",
    "add_comment",
    "create_project",
    "create_task",
    "delete_comment",
    "delete_project",
    "delete_task",
    "delete_tasks",
    "lock_project",
    "move_task",
    "unassign_user",
    "update_comment",
    "update_project",
    "update_task",
    "update_tasks",
]  # fmt: skip

MAX_MESSAGES = (
    1_000  # deletions of up to this many tasks publish one message each; beyond it, only the project's message is sent
)


@retried
def create_project(*, name: str, description: str = "", owner: Any = None, actor: Any = None) -> Project:
    """Create a project, optionally without an owner. Raises RelatedRowGone if the owner was deleted."""
    project = Project(name=name, description=description, owner=owner)
    with transaction.atomic():
        with still_there("owner"):
            _save(project, actor)
        realtime.publish([realtime.project_changed("created", project)])
        entries.invalidate()
    return project


@retried
def update_project(*, project: Project, actor: Any = None, **changes: Any) -> Project:
    """Set any of Project.EDITABLE. Only fields that differ are written and published.

    Returns the project as it is now. Raises Project.DoesNotExist if it was deleted, RelatedRowGone if its new owner
    was.
    """
    if unknown := set(changes) - {*Project.EDITABLE}:
        raise ValueError(f"Not to be set on a project: {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        project = Project.objects.select_for_update(of=("self",)).select_related("owner").get(pk=project.pk)
        found = {name: (getattr(project, name), new) for name, new in changes.items() if getattr(project, name) != new}
        if found:
            for name, (_, new) in found.items():
                setattr(project, name, new)
            project.updated_at = timezone.now()
            with still_there("owner"):
                _save(project, actor, [*found, "updated_at"])
            realtime.publish([realtime.project_changed("updated", project)])
            entries.invalidate()
    return project


@retried
def delete_project(*, project: Project, actor: Any = None) -> None:
    """Delete a project with its tasks and their comments. Up to MAX_MESSAGES tasks, each deletion is published."""
    with transaction.atomic():
        # Lock the project first: a concurrent insert of a task either commits before, or finds the project deleted.
        locked = Project.objects.select_for_update().filter(pk=project.pk).first()
        if locked is None:
            return
        # Lock all tasks, so that no comment or reminder is added after the cascade has collected its rows.
        found = Task.objects.filter(project=locked).order_by("pk")
        pks = list(found.select_for_update().values_list("pk", flat=True))
        told = [realtime.task_deleted(task) for task in found] if len(pks) <= MAX_MESSAGES else []
        realtime.publish([*told, realtime.project_changed("deleted", locked)])
        pk, begun = locked.pk, timezone.now()
        locked._history_user = actor  # type: ignore[attr-defined]
        with still_there("actor"):
            locked.delete()
            along = Task.history.filter(project_id=pk, history_type="-", history_date__gte=begun)
            along.update(history_user=known(actor))
        entries.invalidate()


@retried
def create_task(*, project: Project, title: str, actor: Any = None, **fields: Any) -> Task:
    """Create a task in a project, with any of Task.EDITABLE.

    Raises RelatedRowGone if the project or the assignee was deleted.
    """
    if unknown := set(fields) - {*Task.EDITABLE}:
        raise ValueError(f"Not to be set on a task: {', '.join(sorted(unknown))}.")
    task = Task(project=project, title=title, **fields)
    task.completed_at = timezone.now() if task.status == Task.Status.COMPLETED else None
    with transaction.atomic():
        with still_there("project"):
            _save(task, actor)
        realtime.publish([realtime.task_created(task)])
        entries.invalidate()
    return task


@retried
def update_task(*, task: Task, actor: Any = None, seen: dict[str, Any] | None = None, **changes: Any) -> Task:
    """Set any of Task.EDITABLE. Only fields that differ are written.

    `seen` maps fields to the values they must still have. Returns the task as it is now. Raises Task.DoesNotExist if it
    was deleted, RelatedRowGone if its new project was, TaskChanged if a field differs from `seen`.
    """
    with transaction.atomic():
        changed = change_tasks([task.pk], actor, changes, seen)
        return changed[0] if changed else Task.objects.for_reading().get(pk=task.pk)


def move_task(*, task: Task, status: str, seen: str | None = None, actor: Any = None) -> Task:
    """Set the task's status, which is its column on the board. `completed_at` follows.

    `seen` is the column it is moved from. Two concurrent moves of one card are ordered, because each names its start.
    Raises TaskChanged if the task has left that column.
    """
    if status not in Task.Status.values:
        raise ValueError(f"{status} is not a status.")
    return update_task(task=task, actor=actor, seen={"status": seen} if seen else None, status=status)


@retried
def update_tasks(*, ids: Iterable[int], actor: Any = None, **changes: Any) -> int:
    """Call `update_task` for many ids (or a queryset of them) in one transaction. Return how many tasks changed."""
    return len(change_tasks(ids, actor, changes))


def delete_task(*, task: Task, actor: Any = None) -> None:
    """Delete a task with its comments and reminders. Does nothing if it was already deleted."""
    delete_tasks(ids=[task.pk], actor=actor)


@retried
def delete_tasks(*, ids: Iterable[int], actor: Any = None) -> int:
    """Delete these tasks. Return how many existed."""
    with transaction.atomic():
        locked = list(Task.objects.filter(pk__in=list(ids)).order_by("pk").select_for_update())
        if not locked:
            return 0
        realtime.publish([realtime.task_deleted(task) for task in locked])
        gone = [task.pk for task in locked]
        with still_there("actor"):
            Task.objects.filter(pk__in=gone).delete()
            Task.history.filter(id__in=gone, history_type="-").update(history_user=known(actor))
        entries.invalidate()
    return len(locked)


def unassign_user(*, person: Any) -> None:
    """Remove a person from their projects and tasks before the account is deleted. Each change is published."""
    with transaction.atomic():
        # The query itself locks the rows, so that those reassigned to another person in the meantime are left
        # unchanged.
        for project in Project.objects.filter(owner=person).order_by("pk").select_for_update(of=("self",)):
            update_project(project=project, owner=None)
        theirs = Task.objects.filter(assignee=person).order_by("pk").select_for_update(of=("self",))
        update_tasks(ids=theirs.values_list("pk", flat=True), assignee=None)


@retried
def add_comment(*, task: Task, content: str, author: str = "", actor: Any = None) -> Comment:
    """Add a comment; without `author`, in the actor's name. Raises RelatedRowGone if the task was deleted.

    The actor is recorded as its writer, whatever `author` is.
    """
    comment = Comment(
        task=task, author=author or actor.get_username(), content=content, written_by=known(actor), writer=_name(actor)
    )
    with transaction.atomic():
        with still_there("task"):
            comment.save()
        realtime.publish([realtime.comment_changed("created", comment)])
    return comment


@retried
def update_comment(*, comment: Comment, actor: Any = None, seen: str | None = None, **changes: Any) -> Comment:
    """Set `author` or `content`, and mark the comment as edited if they differ.

    `seen` is the content shown to the actor. Raises TaskChanged if the content is neither that nor the new one,
    Comment.DoesNotExist if it was deleted, PermissionDenied if the actor may not change it.
    """
    with transaction.atomic():
        locked = Comment.objects.select_for_update(of=("self",)).select_related("task").get(pk=comment.pk)
        _check_writer(locked, actor)
        if seen is not None and locked.content not in (seen, changes.get("content")):
            raise TaskChanged
        found = [name for name in ("author", "content") if name in changes and changes[name] != getattr(locked, name)]
        if found:
            for name in found:
                setattr(locked, name, changes[name])
            locked.edited_at, locked.edited_by = timezone.now(), _name(actor)
            locked.save(update_fields=[*found, "edited_at", "edited_by"])
            realtime.publish([realtime.comment_changed("updated", locked)])
    return locked


@retried
def delete_comment(*, comment: Comment, actor: Any = None) -> None:
    """Delete a comment. If another user wrote it, the deletion is recorded in the admin's log.

    Raises PermissionDenied if the actor may not delete it.
    """
    with transaction.atomic():
        locked = Comment.objects.select_for_update(of=("self",)).select_related("task").filter(pk=comment.pk).first()
        if locked is None:
            return
        _check_writer(locked, actor)
        realtime.publish([realtime.comment_changed("deleted", locked)])
        if actor is not None and locked.written_by_id != actor.pk:
            words = f"Deleted a comment of {locked.author}."
            LogEntry.objects.log_actions(actor.pk, [locked.task], CHANGE, words, single_object=True)
        locked.delete()


def _check_writer(comment: Comment, actor: Any) -> None:
    if actor is not None and not comment.may_be_changed_by(actor):
        raise PermissionDenied("Only the user who wrote a comment may change or delete it.")


def _name(actor: Any) -> str:
    return actor.get_username() if known(actor) else ""


def _save(row: Project | Task, actor: Any, fields: list[str] | None = None) -> None:
    row._history_user = actor  # type: ignore[union-attr]
    row.save(update_fields=fields)
