"""What other services want a user to be told: written down here, sent by events/notifications.py."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from events import messages
from events.models import Notification
from live.wake import wake

NOTIFY = "events.tasks.notify"
Status = Notification.Status


def send_notification(*, user_id: str, description: str) -> Notification:
    """Have a user told something. Raises ValueError where nobody or nothing is named."""
    if not user_id.strip() or not description.strip():
        raise ValueError("A notification needs a user and a text.")
    with transaction.atomic():
        notification = Notification.objects.create(user_id=user_id.strip(), description=description.strip())
        messages.notification_updated(notification)
        wake(NOTIFY)
    return notification


def set_notification_status(*, event_id: UUID, status: str) -> Notification:
    """Call a notification processed without sending it, or not processed, which has it sent, once more if need be.

    Changes nothing where it is so already, and still under way. Raises Notification.DoesNotExist.
    """
    with transaction.atomic():
        notification = Notification.objects.select_for_update().get(pk=event_id)
        if status == Status.PROCESSED and notification.status != status:
            _change(notification, status=status, processed_at=timezone.now(), lease_until=None, error="")
        elif status == Status.NOT_PROCESSED and (notification.status != status or notification.has_failed):
            _change(notification, status=status, processed_at=None, attempts=0, lease_until=None, error="")
            wake(NOTIFY)
    return notification


def resend_notification(*, event_id: UUID) -> Notification:
    """Send it again from the start, whatever came of it before; one that is under way goes its way."""
    return set_notification_status(event_id=event_id, status=Status.NOT_PROCESSED)


def _change(notification: Notification, **fields: object) -> None:
    for name, value in fields.items():
        setattr(notification, name, value)
    notification.save(update_fields=list(fields))
    messages.notification_updated(notification)
