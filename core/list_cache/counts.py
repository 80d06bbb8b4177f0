"""Counts of the list cache's hits, misses and bypasses in all web processes, for the page of the admin.

They are in Redis and not in Prometheus, because each process exports its own metrics only.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import NamedTuple

from core.list_cache.redis_link import AWAY, key_name, link

FLUSH_INTERVAL = 1.0  # seconds


class ReadCounts(NamedTuple):
    """Numbers of reads. If Redis is not `reachable`, only those that this process has not saved."""

    hits: int
    misses: int
    bypasses: int
    reachable: bool

    @property
    def percent(self) -> int | None:
        """Percentage of reads that were hits, rounded down; None without reads."""
        reads = self.hits + self.misses + self.bypasses
        return self.hits * 100 // reads if reads else None


_lock = threading.Lock()
_unsaved: Counter[str] = Counter()
_saved_at = 0.0


def count(result: str) -> None:
    """Count a read as one of "hits", "misses" and "bypasses"; every FLUSH_INTERVAL save the counts."""
    global _saved_at
    with _lock:
        _unsaved[result] += 1
        if time.monotonic() - _saved_at < FLUSH_INTERVAL:
            return
        _saved_at = time.monotonic()
    _save()


def totals() -> ReadCounts:
    _save()
    try:
        saved, reachable = dict(link.connection().hgetall(key_name("counts"))), True
    except AWAY:
        saved, reachable = {}, False
    with _lock:
        sums = {name: int(saved.get(name.encode(), 0)) + _unsaved[name] for name in ("hits", "misses", "bypasses")}
    return ReadCounts(**sums, reachable=reachable)


def _save() -> None:
    redis = link.client()
    if redis is None:
        return
    with _lock:
        taken = Counter(_unsaved)
        _unsaved.clear()
    try:
        pipeline = redis.pipeline(transaction=False)
        for name, number in taken.items():
            pipeline.hincrby(key_name("counts"), name, number)
        pipeline.execute()
    except AWAY as error:
        link.record(error)
        with _lock:
            _unsaved.update(taken)
