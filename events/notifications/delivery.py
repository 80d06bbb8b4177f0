"""Delivery of notifications that other services requested, each exactly once. The row's status guarantees this.

1. `_claim` claims one waiting row with FOR UPDATE SKIP LOCKED, in one short statement that increments `attempts` and
   sets a lease. Duplicate messages and parallel workers get other rows or none.
2. `_send` locks the row while the attempt is still its own, and writes the chat message and the status in one
   transaction. A worker killed before the commit has changed nothing; after it, the row is not claimed again.
3. An error is recorded in the row, which is retried after a growing delay. After MAX_ATTEMPTS it waits for a user to
   send it again. The lease of a killed worker expires.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from chats import services as chats
from chats.models import Chat
from events import realtime
from events.models import Notification
from events.models.notification import MAX_ATTEMPTS

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)  # longer than any statement may take
AGAIN = [timedelta(seconds=seconds) for seconds in (5, 30, 120, 600)]  # after the first failure, the second …
KILLED = "The worker died at its last attempt."

_CLAIM = """
    UPDATE events_notification SET attempts = attempts + 1, lease_until = %(until)s
    WHERE event_id = (
        SELECT event_id FROM events_notification
        WHERE status = 'NotProcessed' AND attempts < %(most)s AND (lease_until IS NULL OR lease_until <= %(now)s)
        ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING event_id, attempts, user_id
"""


class _NotificationClaim(NamedTuple):
    event_id: UUID
    attempt: int
    user_id: str

    def lock(self) -> Notification | None:
        """Return the locked row if the attempt is still ours.

        A user may have changed it, or another attempt may have started after the lease expired.
        """
        mine = Notification.objects.select_for_update().filter(pk=self.event_id, attempts=self.attempt)
        return mine.filter(status=Notification.Status.NOT_PROCESSED).first()


def process(*, seconds: float = 20.0) -> int:
    """Send waiting notifications for at most `seconds`. Return how many were sent."""
    _give_up_on_the_killed()
    sent, until = 0, time.monotonic() + seconds
    while time.monotonic() < until and (claim := _claim()):
        try:
            sent += _send(claim)
        except Exception as error:  # of any type: an error must not block the next notification
            _failed(claim, f"{type(error).__name__}: {error}")
    return sent


def _claim() -> _NotificationClaim | None:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "until": now + LEASE, "most": MAX_ATTEMPTS})
        row = cursor.fetchone()
    return _NotificationClaim(*row) if row else None


@transaction.atomic
def _send(claim: _NotificationClaim) -> bool:
    chat = _chat_of(claim.user_id)  # before the row, the same order as the deletion of a chat
    notification = claim.lock()
    if notification is None:
        return False
    notification.message = chats.post_message(chat=chat, text=notification.description) if chat else None
    notification.status, notification.processed_at = Notification.Status.PROCESSED, timezone.now()
    notification.lease_until, notification.error = None, ""
    notification.save(update_fields=["message", "status", "processed_at", "lease_until", "error"])
    realtime.notification_updated(notification)
    words = "Event %s has been sent to %s: %s"
    transaction.on_commit(
        partial(log.info, words, notification.event_id, notification.user_id, notification.description), robust=True
    )
    return True


def _chat_of(user_id: str) -> Chat | None:
    """Return the user's chat, locked against deletion until the message is committed."""
    try:
        return Chat.objects.select_for_update(no_key=True).filter(user_uuid=UUID(user_id)).first()
    except ValueError:
        return None  # users of other services need not have UUIDs


@transaction.atomic
def _failed(claim: _NotificationClaim, reason: str) -> None:
    log.warning("Event %s could not be sent, attempt %d: %s", claim.event_id, claim.attempt, reason)
    notification = claim.lock()
    if notification is None:
        return
    is_last = claim.attempt >= MAX_ATTEMPTS
    notification.lease_until = None if is_last else timezone.now() + AGAIN[claim.attempt - 1]
    notification.error = reason.replace("\0", "")[:500]
    notification.save(update_fields=["lease_until", "error"])
    realtime.notification_updated(notification)


def _give_up_on_the_killed() -> None:
    over = Notification.objects.filter(status=Notification.Status.NOT_PROCESSED, attempts=MAX_ATTEMPTS)
    over.filter(lease_until__lte=timezone.now()).update(lease_until=None, error=KILLED)
