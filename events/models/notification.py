"""Notifications: texts that other services send to a user."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

MAX_ATTEMPTS = 5


class Notification(models.Model):
    """One text for one user.

    Until `lease_until` no worker claims it: either a worker is sending it, or its next attempt is not due yet. When all
    MAX_ATTEMPTS attempts have failed, it stays NotProcessed and `error` holds the cause. A user of the admin can then
    send it again.
    """

    class Status(models.TextChoices):
        NOT_PROCESSED = "NotProcessed"
        PROCESSED = "Processed"

    event_id = models.UUIDField("event id", primary_key=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField("user", max_length=100)
    description = models.TextField("text", max_length=4000)
    status = models.CharField(max_length=12, choices=Status, default=Status.NOT_PROCESSED)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)
    # The chat message that was created for it, if the user has a chat. The chat may be deleted later.
    message = models.OneToOneField("chats.Message", models.SET_NULL, null=True, editable=False, related_name="+")
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    processed_at = models.DateTimeField("processed", null=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-event_id"]
        default_permissions = ("view", "add", "change")
        indexes = [
            # GET /notifications/, newest first.
            models.Index(fields=["-created_at", "-event_id"], name="events_notification_newest"),
            # GET /notifications/?user_id=…, newest first, and the admin's search.
            models.Index(fields=["user_id", "-created_at", "-event_id"], name="events_notification_user"),
            # The worker's query every few seconds: the notifications to send.
            models.Index(fields=["created_at"], condition=Q(status="NotProcessed"), name="events_notification_waiting"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="NotProcessed", processed_at__isnull=True)
                | Q(status="Processed", processed_at__isnull=False),
                name="events_notification_status",
            ),
            models.CheckConstraint(condition=Q(attempts__lte=MAX_ATTEMPTS), name="events_notification_attempts"),
            models.CheckConstraint(condition=~Q(user_id=""), name="events_notification_addressed"),
        ]

    def __str__(self) -> str:
        return f"Notification {self.event_id}"

    @property
    def has_failed(self) -> bool:
        """Whether it is unsent and no automatic attempt is left."""
        is_over = self.attempts >= MAX_ATTEMPTS and self.lease_until is None
        return is_over and self.status == self.Status.NOT_PROCESSED
