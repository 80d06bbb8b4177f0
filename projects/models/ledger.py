"""What must happen once: a reminder for a due date and a person, a report for a day. And the calendar feed's secret."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.passwords import PasswordBound
from projects.models.task import Task

MAX_ATTEMPTS = 5


def update_free(rows: models.QuerySet[Any], **values: Any) -> list[int]:
    """Update those of the rows that no other transaction holds; return their ids.

    A statement that waits for a row while it holds others can meet a deletion in a circle. What is held is deleted or
    claimed, or found by the next sweep.
    """
    with transaction.atomic():
        free = list(rows.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True))
        rows.model._base_manager.filter(pk__in=free).update(**values)
    return free


class Reminder(models.Model):
    """The one reminder of one person of one due date of one task: the row is what makes it happen once.

    `account` is the id of the person's account, without a foreign key: the ledger outlives the account. None stands for
    the address of tasks without a person who could be reminded.

    `lease_until` is the moment before which nobody else touches it: somebody is sending, or it is too early to try
    again. `attempts` also names the attempt: only the one that counted it may write down how it ended.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"  # `error` says why; nobody tries again by itself
        DROPPED = "dropped"  # done or moved before it could be sent

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
            # The sender's question, for every mail: what is left to send?
            models.Index(fields=["id"], condition=Q(status="pending"), name="projects_reminder_pending"),
        ]
        constraints = [
            # Once for a task, a due date and a person, and again for another date or person. Also how a task's
            # reminders are found.
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


class Report(models.Model):
    """The summary of one day of TIME_ZONE, as it was when it was made; projects/reports.py says what `data` holds."""

    date = models.DateField()
    data = models.JSONField()
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    mailed_at = models.DateTimeField("mailed", null=True, editable=False)
    resend_at = models.DateTimeField(null=True, editable=False)  # when somebody asked for the mail again, until it went
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)

    class Meta:
        ordering = ["-date"]
        default_permissions = ("view",)
        permissions = [("resend_report", "Can mail a report again")]
        indexes = [
            # Every half minute: is there a report to be mailed?
            models.Index(
                fields=["id"],
                condition=Q(mailed_at__isnull=True) | Q(resend_at__isnull=False),
                name="projects_report_to_mail",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["date"], name="projects_report_once_a_day"),
            models.CheckConstraint(condition=Q(attempts__lte=MAX_ATTEMPTS), name="projects_report_attempts"),
        ]

    def __str__(self) -> str:
        return f"Report of {self.date}"


class CalendarToken(PasswordBound):
    """The secret in the address of a user's iCalendar feed; only its SHA-256 is kept.

    It ends when it is revoked, and when the user's password changes.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="calendar_token")
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    class Meta:
        default_permissions = ()  # everybody has their own; what it shows takes the permission to view tasks

    def __str__(self) -> str:
        return f"Calendar of {self.user}"
