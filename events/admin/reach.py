"""How far back a page of the explorer has to look, where no index has all of its filters.

An application that sends little among others that send much, or a name among many of its category: the newest fifty may
be spread over millions. The counts a minute know where they are, and bound the search before it begins.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from events.admin.which import Which
from events.models import Event, Minute

UNCOUNTED = timedelta(hours=1)  # what the digest has not seen yet is younger, unless somebody sends the past


def reachable(which: Which, before: datetime | None, size: int) -> tuple[QuerySet[Event], bool] | None:
    """Return the events with a bound below which a page of `size` before that moment need not look, or None.

    With it: whether there are none below it. Where there may be, and the page comes out too short because what was
    deleted is counted still, ask without the bound.
    """
    if which.session or not (which.application or which.name):
        return None
    kinds = {"application": which.application, "category": which.category, "name": which.name}
    minutes = Minute.objects.filter(events__gt=0, **{name: value for name, value in kinds.items() if value})
    if which.span.start:
        minutes = minutes.filter(minute__gte=which.span.start - timedelta(minutes=1))
    end = min((at for at in (before, which.span.end) if at), default=None)
    if end:
        minutes = minutes.filter(minute__lte=end)
    # Each has at least one event: as many minutes as rows are always enough.
    found = list(minutes.order_by("-minute").values_list("minute", flat=True)[: size + 1])
    bound = found[-1] if found else timezone.now() - UNCOUNTED
    return which.events().filter(timestamp__gte=bound), len(found) <= size
