"""The Prometheus metric of the digest's lag."""

import math

from django.db import DatabaseError
from prometheus_client import Gauge

from events.rollups import digest


def _lag() -> float:
    try:
        return digest.lag()
    except DatabaseError:
        return math.nan  # an exception would fail the whole scrape, including the other metrics


Gauge("opsroom_events_digest_lag_seconds", "How long the oldest batch of events has been waiting").set_function(_lag)
