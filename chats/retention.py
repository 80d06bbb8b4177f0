"""Deletion of messages older than MESSAGE_DAYS, with their pictures. Off by default: conversations are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chats.models import Message
from chats.stored_images import discard_on_commit

AT_ONCE = 2_000  # messages per transaction


def count_old() -> int:
    """Return how many messages `delete_old` would delete in all."""
    return Message.objects.filter(created_at__lt=_before()).count()


def delete_old() -> int:
    """Delete some of the oldest messages in one transaction. Return how many.

    The oldest messages have the lowest ids, and their time has no index. Therefore only the first AT_ONCE are checked.
    """
    with transaction.atomic():
        first = Message.objects.order_by("pk").select_for_update(skip_locked=True, of=("self",))[:AT_ONCE]
        before = _before()
        old = [message for message in first if message.created_at < before]
        discard_on_commit(*(str(message.own_image) for message in old if message.own_image))
        Message.objects.filter(pk__in=[message.pk for message in old]).delete()
    return len(old)


def _before() -> datetime:
    return timezone.now() - timedelta(days=settings.MESSAGE_DAYS)
