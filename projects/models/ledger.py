"""Records of what must happen once: a reminder per due date and person, a report per day. Also the calendar token."""

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
    """Update the rows that no other transaction has locked. Return their ids.

    A statement that waits for one row while it holds others can deadlock with a deletion. Locked rows are being deleted
    or claimed; the next run handles those that remain.
    """
    with transaction.atomic():
        free = list(rows.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True))
        rows.model._base_manager.filter(pk__in=free).update(**values)
    return free


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


class Report(models.Model):
    """The summary of one day in TIME_ZONE, as of the time it was made.

    projects/reports.py describes the format of `data`.
    """

    date = models.DateField()
    data = models.JSONField()
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    mailed_at = models.DateTimeField("mailed", null=True, editable=False)
    resend_at = models.DateTimeField(null=True, editable=False)  # set while another mail is requested
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)

    class Meta:
        ordering = ["-date"]
        default_permissions = ("view",)
        permissions = [("resend_report", "Can mail a report again")]
        indexes = [
            # Query run every 30 seconds: which reports have to be mailed?
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
    """The secret in the address of a user's iCalendar feed. Only its SHA-256 is stored.

    It becomes invalid when it is revoked or when the user's password changes.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="calendar_token")
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    class Meta:
        default_permissions = ()  # each user has their own; the feed itself requires the permission to view tasks

    def __str__(self) -> str:
        return f"Calendar of {self.user}"
