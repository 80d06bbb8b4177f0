from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from projects.models.attempts import MAX_ATTEMPTS
from projects.models.task import Task


class Reminder(models.Model):
    """The reminder of one account about one due date of one task. The unique row guarantees that it is sent once.

    `account` is the id of the person's account, without a foreign key, because the row outlives the account. None
    stands for the fallback address, used for tasks that have no person who can be reminded.

    `lease_until` is the time before which no other worker may claim the row: either a worker is sending it, or it is
    too early to retry. `attempts` also identifies the attempt: only the worker that made that attempt may record its
    outcome.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"  # `error` has the reason; there are no automatic retries
        DROPPED = "dropped"  # completed or rescheduled before it could be sent

    task = models.ForeignKey(Task, models.CASCADE, related_name="reminders", db_index=False)
    due_date = models.DateTimeField("due")
    account = models.BigIntegerField(null=True, editable=False)
    status = models.CharField(max_length=7, choices=Status, default=Status.PENDING, editable=False)
    recipient = models.CharField(max_length=254, blank=True, default="", editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    sent_at = models.DateTimeField("sent", null=True, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "change")
        indexes = [
            # Query of the sender, run for every mail: which reminders are pending?
            models.Index(fields=["id"], condition=Q(status="pending"), name="projects_reminder_pending"),
        ]
        constraints = [
            # One row per task, due date and account; a new date or account gets a new row. Also serves lookups by task.
            models.UniqueConstraint(
                fields=["task", "due_date", "account"], name="projects_reminder_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "sent", "failed", "dropped"]), name="projects_reminder_status"
            ),
            models.CheckConstraint(
                condition=Q(status="sent", sent_at__isnull=False) & ~Q(recipient="")
                | (~Q(status="sent") & Q(sent_at__isnull=True)),
                name="projects_reminder_sent_when",
            ),
            models.CheckConstraint(condition=~Q(status="failed") | ~Q(error=""), name="projects_reminder_failed_why"),
            models.CheckConstraint(condition=Q(attempts__lte=MAX_ATTEMPTS), name="projects_reminder_attempts"),
        ]

    def __str__(self) -> str:
        return f"Reminder of task {self.task_id}, due {self.due_date:%Y-%m-%d %H:%M}"
