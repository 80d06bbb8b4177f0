"""Replay: rejected events that are valid now become events, each exactly once.

A replay processes the ids of its selection in order, in chunks. Each chunk is one transaction:

1. Lock the replay's row, if no other worker has locked it. The lock is the claim and ends with the connection, so a
   kill leaves nothing to clean up. A second worker with the same message finds the row locked or the replay finished.
2. Lock the next rejected events in the order of their ids, so that two replays of the same events wait for each other.
   Events that were replayed or deleted meanwhile are counted as gone.
3. Lock the batches of those that the digest has not counted yet (events/rollups/adjustments.py).
4. Validate each event again. Valid ones are stored and deleted from the rejected events, whether they are new or
   duplicates; invalid ones keep their bytes and get the current validation errors.
5. Add to the replay's counters and publish the progress.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from core.database.deadlocks import retried
from events import realtime
from events.models import RejectedEvent, Replay
from events.models.event import BATCH_ROWS
from events.query.pages import LARGE, rows_within_bytes
from events.rejected import backfill
from events.rejected.deletion import delete_rejected_rows
from events.rejected.revalidation import Revalidator
from events.rejected.selection import Selection
from events.rollups import adjustments
from events.validation.errors import place_of
from events.validation.event import Item

AT_ONCE = 500  # rejected events per transaction, at most BATCH_ROWS; fewer if they exceed query.pages.MAX_PAGE_BYTES
SECONDS = 20.0  # per task
MAX_CHUNK_SECONDS = 5.0  # per transaction, because it holds locks

Revalidated = tuple[RejectedEvent, Item]


def run(replay_id: int, seconds: float = SECONDS) -> bool:
    """Replay for about `seconds`. Return whether the caller should continue."""
    until = time.monotonic() + seconds
    while more := replay_some(replay_id):
        if time.monotonic() > until:
            break
    return more


@retried
def replay_some(replay_id: int, at_once: int = AT_ONCE) -> bool:
    """Replay the next chunk. Return False if the replay is finished or another worker has locked it."""
    with transaction.atomic():
        replay = Replay.objects.select_for_update(skip_locked=True).under_way().filter(pk=replay_id).first()
        if replay is None:
            return False
        left = Selection.from_json(replay.selection).rows().filter(pk__gt=replay.cursor, pk__lte=replay.last_id)
        there = list(left.order_by("pk").values_list("pk", LARGE["raw"])[:at_once])
        ids = [pk for pk, _ in there[: rows_within_bytes(size for _, size in there)]]
        if ids:
            _replay_rows(replay, ids)
        else:
            _finish(replay)
        replay.save(
            update_fields=["cursor", "total", "accepted", "duplicates", "still_rejected", "gone", "finished_at"]
        )
        realtime.replayed(replay)
    return bool(ids)


def _replay_rows(replay: Replay, ids: list[int]) -> None:
    rows = list(RejectedEvent.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    revalidated = _revalidated(rows)
    if len(revalidated) < len(rows):  # the remaining rows are replayed in the next transaction
        rows = rows[: len(revalidated)]
        ids = [id for id in ids if id <= rows[-1].pk]
    batches = adjustments.uncounted(row.pk for row in rows)
    outcomes = Counter(backfill.store([item for _, item in revalidated if not item.reasons]))
    moved = delete_rejected_rows([row for row, item in revalidated if not item.reasons])
    for key, number in _save_reasons([one for one in revalidated if one[1].reasons], set(batches)).items():
        moved[key] += number
    adjustments.add(moved, "rejected")  # all at once, because the rows of counts have one lock order
    replay.cursor = ids[-1]
    replay.accepted += outcomes["accepted"]
    replay.duplicates += outcomes["duplicate"]
    replay.still_rejected += len(rows) - outcomes["accepted"] - outcomes["duplicate"]
    replay.gone += len(ids) - len(rows)


def _revalidated(rows: Sequence[RejectedEvent]) -> list[Revalidated]:
    """Validate these events, or as many as MAX_CHUNK_SECONDS allow, at least one."""
    revalidator, until = Revalidator(), time.monotonic() + MAX_CHUNK_SECONDS
    revalidated: list[Revalidated] = []
    for row in rows:
        if revalidated and time.monotonic() > until:
            break
        revalidated.append((row, revalidator.revalidate(row)))
    return revalidated


def _save_reasons(revalidated: Sequence[Revalidated], uncounted: set[int]) -> Counter[adjustments.RollupKey]:
    """Store the current validation errors where they have changed. Return the changes of the counts."""
    moved: Counter[adjustments.RollupKey] = Counter()
    changed: list[RejectedEvent] = []
    for row, item in revalidated:
        before = adjustments.key_of_rejected(row)
        first = item.reasons[0]
        now = (item.category, item.name, first["code"], place_of(first), item.reasons)
        if now == (row.category, row.name, row.code, row.pointer, row.reasons):
            continue
        row.category, row.name, row.code, row.pointer, row.reasons = now
        changed.append(row)
        if row.pk // BATCH_ROWS not in uncounted:
            moved[before] -= 1
            moved[adjustments.key_of_rejected(row)] += 1
    RejectedEvent.objects.bulk_update(changed, ["category", "name", "code", "pointer", "reasons"])
    return moved


def _finish(replay: Replay) -> None:
    counted = replay.accepted + replay.duplicates + replay.still_rejected + replay.gone
    # Some events left the selection before they were reached; others may have joined it, committed late with a low id.
    replay.total = max(replay.total, counted)
    replay.gone += replay.total - counted
    replay.finished_at = timezone.now()
