"""Live messages about projects, built in one place. docs/api.md describes their formats.

Each message goes to the topics `projects` and `project:<id>`, so that a board receives messages of its own project
only. Subscribers need the permission to view tasks and may have no other. For everything except tasks, a message
therefore gives only the object's id and what happened to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from live.publish import publish_many
from projects.models import Comment, Project, Report, Task

Message = tuple[set[int], str, dict[str, Any]]  # ids of the projects, message type, data
MAX_TEXT_LENGTH = 500  # characters of a changed text; clients fetch the full text when they need it

Changes = Mapping[str, tuple[Any, Any]]


def task_created(task: Task) -> Message:
    return {task.project_id}, "task.created", _task(task)


def task_updated(task: Task, changes: Changes) -> Message:
    """Build the message for a changed task. `changes` maps each field to (before, after).

    A moved task notifies both projects.
    """
    old = {changes["project"][0].pk} if "project" in changes else set()
    return {task.project_id} | old, "task.updated", {**_task(task), "changes": _changes(changes)}


def task_deleted(task: Task) -> Message:
    return {task.project_id}, "task.deleted", _task(task)


def comment_changed(verb: str, comment: Comment) -> Message:
    """Build a message with the ids only. The content requires the permission to view comments, so clients fetch it."""
    task = comment.task
    return {task.project_id}, f"comment.{verb}", {"id": comment.pk, "task": task.pk, "project": task.project_id}


def project_changed(verb: str, project: Project) -> Message:
    """Build a message with the project's id, name and time of change. The name is also shown on each of its tasks."""
    return {project.pk}, f"project.{verb}", {"id": project.pk, "name": project.name, "updated_at": project.updated_at}


def report_generated(report: Report) -> Message:
    """Build a message with the report's date.

    Its numbers require the permission to view reports, so clients fetch them.
    """
    return set(), "report.generated", {"id": report.pk, "date": report.date}


def report_updated(report: Report) -> Message:
    """Build the message for a report that was mailed, could not be mailed, or was queued for another mail."""
    return set(), "report.updated", {"id": report.pk, "date": report.date}


def reminders_updated() -> Message:
    """Build the message for reminders that were created, sent, failed or retried.

    Clients fetch which ones, if permitted.
    """
    return set(), "reminders.updated", {}


def publish(messages: Iterable[Message]) -> None:
    """Publish each message to all its topics when the transaction commits."""
    publish_many(
        (topic, type, data)
        for projects, type, data in messages
        for topic in ("projects", *(f"project:{project}" for project in sorted(projects)))
    )


def _task(task: Task) -> dict[str, Any]:
    names = ("id", *Task.EDITABLE, "updated_at", "completed_at")
    return {name: _plain(getattr(task, name)) for name in names if name != "description"}


def _changes(changes: Changes) -> dict[str, list[Any]]:
    return {name: [_plain(before), _plain(after)] for name, (before, after) in changes.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | datetime):
        return value[:MAX_TEXT_LENGTH] if isinstance(value, str) else value
    return value.pk if isinstance(value, Project) else value.get_username()
