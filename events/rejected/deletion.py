"""Deletion of rejected events with their counts."""

from __future__ import annotations

from collections import Counter

from events.models import RejectedEvent
from events.models.event import BATCH_ROWS
from events.rollups import adjustments


def delete_rejected_rows(rows: list[RejectedEvent]) -> Counter[adjustments.RollupKey]:
    """Delete rejected events that the caller has locked in the order of their ids.

    Return the changes of the counts. The caller must add them at the end, because the rows of counts are contended.
    """
    batches = adjustments.uncounted(row.pk for row in rows)
    RejectedEvent.objects.filter(pk__in=[row.pk for row in rows]).delete()
    for number, rejected in sorted(Counter(row.pk // BATCH_ROWS for row in rows).items()):
        if number in batches:
            adjustments.shrink(batches[number], rejected=rejected)
    counted = Counter(adjustments.key_of_rejected(row) for row in rows if row.pk // BATCH_ROWS not in batches)
    return Counter({key: -number for key, number in counted.items()})
