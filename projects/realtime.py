"""What watchers are told, built in one place: see docs/api.md for the shapes.

Each message goes to the topic `projects` and to `project:<id>`, so that a board hears of its own project only. Who
hears it may view tasks, and perhaps nothing else: of all but tasks it says no more than what has happened to which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from live.publish import publish_many
from projects.models import Comment, Project, Report, Task

Message = tuple[set[int], str, dict[str, Any]]  # the projects whose watchers hear of it, the type, the data
MAX_TEXT_LENGTH = 500  # characters of a text that has changed; whoever wants the rest asks for it

Changes = Mapping[str, tuple[Any, Any]]


def task_created(task: Task) -> Message:
    return {task.project_id}, "task.created", _task(task)


def task_updated(task: Task, changes: Changes) -> Message:
    """`changes` are by field: before and after. A task that has moved says so to both projects' watchers."""
    old = {changes["project"][0].pk} if "project" in changes else set()
    return {task.project_id} | old, "task.updated", {**_task(task), "changes": _changes(changes)}


def task_deleted(task: Task) -> Message:
    return {task.project_id}, "task.deleted", _task(task)


def comment_changed(verb: str, comment: Comment) -> Message:
    """Which one, and of which task; what was said is asked for by those who may read comments."""
    task = comment.task
    return {task.project_id}, f"comment.{verb}", {"id": comment.pk, "task": task.pk, "project": task.project_id}


def project_changed(verb: str, project: Project) -> Message:
    """Which one, and its name, as on each of its tasks."""
    return {project.pk}, f"project.{verb}", {"id": project.pk, "name": project.name, "updated_at": project.updated_at}


def report_generated(report: Report) -> Message:
    """Of which day; its numbers are asked for by those who may read reports."""
    return set(), "report.generated", {"id": report.pk, "date": report.date}


def report_updated(report: Report) -> Message:
    """It was mailed, could not be, or is to be again."""
    return set(), "report.updated", {"id": report.pk, "date": report.date}


def reminders_updated() -> Message:
    """Some were armed, sent, given up or are tried again: which ones is asked for by those who may see reminders."""
    return set(), "reminders.updated", {}


def tell(messages: Iterable[Message]) -> None:
    """Publish each of the messages to all of its topics, if and when the transaction commits."""
    publish_many(
        (topic, type, data)
        for projects, type, data in messages
        for topic in ("projects", *(f"project:{project}" for project in sorted(projects)))
    )


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.pk,
        "project": task.project_id,
        "title": task.title,
        "status": task.status,
        "priority": task.priority,
        "due_date": task.due_date,
        "assignee": task.assignee.get_username() if task.assignee else None,
        "updated_at": task.updated_at,
        "completed_at": task.completed_at,
    }


def _changes(changes: Changes) -> dict[str, list[Any]]:
    return {name: [_plain(before), _plain(after)] for name, (before, after) in changes.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | datetime):
        return value[:MAX_TEXT_LENGTH] if isinstance(value, str) else value
    return value.pk if isinstance(value, Project) else value.get_username()
