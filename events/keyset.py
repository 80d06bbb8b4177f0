"""Paging along (timestamp, id), newest first: the millionth page as quick as the first."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.db.models.fields.tuple_lookups import Tuple, TupleLessThan


def older(timestamp: datetime, id: int) -> Q:
    """Return the condition for events that come after this one when the newest come first.

    Postgres takes its place in an index from the second part, and chooses partitions by the first.
    """
    return Q(timestamp__lte=timestamp) & Q(TupleLessThan(Tuple("timestamp", "id"), (timestamp, id)))
