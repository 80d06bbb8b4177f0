"""Speed and remaining time of a broadcast, from the ranges that workers finished in the last seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from django.utils import timezone

from chats.models import Broadcast

WINDOW = timedelta(seconds=10)  # long enough for several chunks, short enough to notice a lost worker
MIN_ELAPSED = 0.1  # seconds; a shorter time gives no meaningful rate


@dataclass(frozen=True)
class BroadcastProgress:
    """One broadcast's numbers at one time. `rate` is in messages per second, `remaining` in seconds.

    None means unknown.
    """

    done: int
    total: int | None
    percent: int
    rate: float | None
    remaining: float | None
    took: float | None


def progress_of(broadcast: Broadcast, *, now: datetime | None = None) -> BroadcastProgress:
    """Return the numbers of a broadcast: the current rate while it is being sent, the average rate once it is sent."""
    now = now or timezone.now()
    done = broadcast.delivered + broadcast.skipped
    took = _seconds(broadcast.started_at, broadcast.finished_at)
    rate = remaining = None
    if broadcast.status == Broadcast.Status.SENDING:
        rate = current_rate(broadcast, now=now)
        if rate and broadcast.audience_size is not None:
            remaining = (broadcast.audience_size - done) / rate
    elif broadcast.status == Broadcast.Status.SENT and took:
        rate = broadcast.delivered / max(took, MIN_ELAPSED)
    return BroadcastProgress(done, broadcast.audience_size, broadcast.percent, rate, remaining, took)


def current_rate(broadcast: Broadcast, *, now: datetime) -> float | None:
    """Return the messages per second of the last WINDOW, or since sending started or resumed if that is more recent."""
    resumed_at = broadcast.steps.filter(verb="sending").order_by("-id").values_list("at", flat=True).first()
    since = max(filter(None, (now - WINDOW, broadcast.started_at, resumed_at)))
    seconds = (now - since).total_seconds()
    if seconds < MIN_ELAPSED:
        return None
    delivered = broadcast.chunks.filter(done_at__gt=since).aggregate(number=Sum("delivered"))["number"] or 0
    return delivered / seconds


def in_words(seconds: float | None) -> str:
    """Return a duration in words: "less than a second", "42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "less than a second"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
