from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, IntegerField, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone
from simple_history.models import HistoricalRecords

from projects.models.project import Project

# Dates outside this range are typing errors. Near the years 1 and 9999 some time zones cannot represent a timestamp,
# and Postgres allows years that Python cannot read.
EARLIEST_DUE, LATEST_DUE = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def check_due(moment: datetime) -> None:
    """Raise ValidationError if the due date is outside the years 1970 to 2999."""
    if not EARLIEST_DUE <= moment < LATEST_DUE:
        raise ValidationError("Choose a year from 1970 to 2999.")


class TaskQuerySet(models.QuerySet["Task"]):
    def open(self) -> TaskQuerySet:
        """Tasks that are not completed."""
        return self.exclude(status=Task.Status.COMPLETED)

    def overdue(self, now: datetime) -> TaskQuerySet:
        return self.open().filter(due_date__lt=now)

    def for_reading(self) -> TaskQuerySet:
        """Select the project and assignee, whose names every list shows."""
        return self.select_related("project", "assignee")

    def ranked(self) -> TaskQuerySet:
        """Annotate `priority_rank`: 0 low, 1 normal, 2 high. The priority's text would sort alphabetically."""
        ranks = [When(priority=value, then=Value(rank)) for rank, value in enumerate(Task.Priority.values)]
        return self.annotate(priority_rank=Case(*ranks, output_field=IntegerField()))


class Task(models.Model):
    """A piece of work in a project. `completed_at` is set exactly while its status is completed."""

    class Status(models.TextChoices):
        PENDING = "pending"
        IN_PROGRESS = "in_progress", "in progress"
        COMPLETED = "completed"

    class Priority(models.TextChoices):
        LOW = "low"
        NORMAL = "normal"
        HIGH = "high"

    # The fields that users set, which REST, the CSV export, live messages and the history follow. The list, the board
    # and the form have code for each, and show those of PLAIN without: a new field needs its column, a migration and
    # its name in PLAIN.
    PLAIN: tuple[str, ...] = ()
    EDITABLE = ("project", "title", "description", "status", "priority", "due_date", "assignee", *PLAIN)

    project = models.ForeignKey(Project, models.CASCADE, related_name="tasks", db_index=False)
    title = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="", max_length=20_000)
    status = models.CharField(max_length=11, choices=Status, default=Status.PENDING)
    due_date = models.DateTimeField("due", null=True, blank=True)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="tasks", db_index=False
    )
    priority = models.CharField(max_length=6, choices=Priority, default=Priority.NORMAL)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    updated_at = models.DateTimeField("updated", db_default=Now(), editable=False)
    completed_at = models.DateTimeField("completed", null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # A project's board and list by status; the report's counts; the cascade of a deleted project.
            models.Index(fields=["project", "status", "due_date"], name="projects_task_board"),
            # "My tasks", and the tasks of a deleted user, which become unassigned.
            models.Index(fields=["assignee", "status"], name="projects_task_assignee"),
            # The list by due date in both directions; the calendar's month; the iCalendar feed.
            models.Index(fields=["due_date", "id"], name="projects_task_due"),
            # Query run every 30 seconds: which open tasks are due soon? The partial index omits completed tasks.
            models.Index(fields=["due_date"], condition=~Q(status="completed"), name="projects_task_open_due"),
            # The report's "done yesterday" count.
            models.Index(
                fields=["completed_at"], condition=Q(completed_at__isnull=False), name="projects_task_completed"
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="projects_task_titled"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "in_progress", "completed"]), name="projects_task_status"
            ),
            models.CheckConstraint(condition=Q(priority__in=["low", "normal", "high"]), name="projects_task_priority"),
            models.CheckConstraint(
                condition=Q(status="completed", completed_at__isnull=False)
                | (~Q(status="completed") & Q(completed_at__isnull=True)),
                name="projects_task_completed_when",
            ),
            models.CheckConstraint(
                condition=Q(due_date__gte=EARLIEST_DUE, due_date__lt=LATEST_DUE), name="projects_task_due_within_reach"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_overdue(self) -> bool:
        return self.status != self.Status.COMPLETED and self.due_date is not None and self.due_date < timezone.now()

    @property
    def plain_values(self) -> list[tuple[str, Any]]:
        return [(name.capitalize(), value) for name in self.PLAIN if (value := getattr(self, name))]


class Comment(models.Model):
    """A comment on a task. `author` is any display name; `writer` is the username of the account that wrote it.

    Programs that write comments themselves have no account. A change by REST or in the admin sets `edited_at` and
    `edited_by`.
    """

    task = models.ForeignKey(Task, models.CASCADE, related_name="comments", db_index=False)
    author = models.CharField(max_length=255)
    content = models.TextField(max_length=20_000)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    writer = models.CharField(max_length=150, blank=True, default="", editable=False)  # outlives the account
    edited_at = models.DateTimeField("edited", null=True, editable=False)
    edited_by = models.CharField(max_length=150, blank=True, default="", editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            # The comments of a deleted user, whose `written_by` becomes NULL.
            models.Index(
                fields=["written_by"], condition=Q(written_by__isnull=False), name="projects_comment_by_writer"
            ),
            # A task's comments in both orders; the cascade of a deleted task.
            models.Index(fields=["task", "id"], name="projects_comment_by_task"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(author="") & ~Q(content=""), name="projects_comment_said_by_somebody"),
        ]

    def __str__(self) -> str:
        return f"{self.author}: {self.content[:60]}"

    def may_be_changed_by(self, user: Any) -> bool:
        """Return whether the user wrote it or is a superuser. The model permission is checked separately."""
        return user.is_superuser or (self.written_by_id is not None and self.written_by_id == user.pk)
