"""The history of a task as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from core.admin.row_history import worded
from projects.models import Task

MAX_STEPS = 12


@dataclass(frozen=True)
class TaskStep:
    lines: list[str]
    who: str
    at: datetime


def steps_of(task: Task) -> list[TaskStep]:
    """Return the latest changes, newest first, each with its user, its time and the changed fields."""
    records = list(
        task.history.select_related("history_user").order_by("-history_date", "-history_id")[: MAX_STEPS + 1]
    )
    steps = [_changed(newer, older) for newer, older in pairwise(records)]
    if records and len(records) <= MAX_STEPS:
        steps.append(_first(records[-1]))
    return [step for step in steps if step.lines]


def _first(record: Any) -> TaskStep:
    return TaskStep(["Created" if record.history_type == "+" else "Changed"], _who(record), _at(record))


def _changed(newer: Any, older: Any) -> TaskStep:
    delta = newer.diff_against(older, included_fields=Task.EDITABLE, foreign_keys_are_objs=True)
    return TaskStep([_line(change) for change in delta.changes], _who(newer), _at(newer))


def _line(change: Any) -> str:
    if change.field == "description":
        return "Changed the description"
    return f"{change.field.replace('_', ' ').capitalize()}: {_shown(change.old)} → {_shown(change.new)}"


def _shown(value: Any) -> str:
    return str(value).replace("_", " ") if value in Task.Status.values else str(worded(value))


def _who(record: Any) -> str:
    return record.history_user.get_username() if record.history_user else "a program"


def _at(record: Any) -> datetime:
    return record.history_date
