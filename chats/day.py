"""What a day was for the chats, in a few numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Q, Sum

from chats.models import Broadcast


def count(day: date) -> list[tuple[str, int]]:
    """Return what came of the broadcasts that ended on `day` (UTC); all that they delivered counts on that day."""
    begin = datetime.combine(day, time.min, UTC)
    ended = Broadcast.objects.filter(finished_at__gte=begin, finished_at__lt=begin + timedelta(days=1))
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
