"""The chats' section of the daily report."""

from __future__ import annotations

from datetime import date

from django.db.models import Count, Q, Sum
from django.utils import timezone

from chats.models import Broadcast
from core.timezones import day_bounds


def count(day: date) -> list[tuple[str, int]]:
    """Return the counts of the broadcasts that ended on `day` in TIME_ZONE. All their deliveries count for that day."""
    begin, end = day_bounds(day, timezone.get_default_timezone())
    ended = Broadcast.objects.filter(finished_at__gte=begin, finished_at__lt=end)
    numbers = ended.aggregate(
        sent=Count("pk", filter=Q(status=Broadcast.Status.SENT)),
        delivered=Sum("delivered", default=0),
        failed=Count("pk", filter=Q(status=Broadcast.Status.FAILED)),
    )
    return [
        ("Broadcasts sent", numbers["sent"]),
        ("Messages delivered", numbers["delivered"]),
        ("Broadcasts failed", numbers["failed"]),
    ]
