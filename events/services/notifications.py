"""Services that store notifications from other services. events/notifications/delivery.py sends them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.wake import wake
from events import realtime
from events.models import Notification

NOTIFY = "events.tasks.send_notifications"
Status = Notification.Status


def send_notification(*, user_id: str, description: str) -> Notification:
    """Queue a notification to a user. Raises ValueError if the user or the text is empty."""
    if not user_id.strip() or not description.strip():
        raise ValueError("A notification needs a user and a text.")
    with transaction.atomic():
        notification = Notification.objects.create(user_id=user_id.strip(), description=description.strip())
        realtime.notification_updated(notification)
        wake(NOTIFY)
    return notification


def update_notification(*, event_id: UUID, description: str | None = None, status: str | None = None) -> Notification:
    """Set the text, the status, or both. None leaves a value unchanged, and equal values change nothing.

    `Processed` marks it as sent without sending it. `NotProcessed` sends it, again if needed, with its text at that
    time. A message that is already in the chat keeps its text. Raises Notification.DoesNotExist, and ValueError for an
    empty text.
    """
    if description is not None and not description.strip():
        raise ValueError("A notification needs a text.")
    with transaction.atomic():
        notification = Notification.objects.select_for_update().get(pk=event_id)
        changes = _new_text(notification, description) | _new_status(notification, status)
        if changes:
            for name, value in changes.items():
                setattr(notification, name, value)
            notification.save(update_fields=list(changes))
            realtime.notification_updated(notification)
        if changes.get("status") == Status.NOT_PROCESSED:
            wake(NOTIFY)
    return notification


def _new_text(notification: Notification, description: str | None) -> dict[str, object]:
    if description is None or notification.description in (description, description.strip()):
        return {}
    return {"description": description.strip()}


def _new_status(notification: Notification, status: str | None) -> dict[str, object]:
    if status == Status.PROCESSED and notification.status != status:
        return {"status": status, "processed_at": timezone.now(), "lease_until": None, "error": ""}
    if status == Status.NOT_PROCESSED and (notification.status != status or notification.has_failed):
        return {"status": status, "processed_at": None, "attempts": 0, "lease_until": None, "error": ""}
    return {}


def resend_notification(*, event_id: UUID) -> Notification:
    """Send it again with new attempts, whatever its state. An attempt in progress continues."""
    return update_notification(event_id=event_id, status=Status.NOT_PROCESSED)
