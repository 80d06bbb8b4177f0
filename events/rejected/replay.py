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
from events.query.pages import LARGE, fitting
from events.rejected import backfill
from events.rejected.deletion import forget_rejected
from events.rejected.revalidation import Revalidator
from events.rejected.selection import Selection
from events.rollups import adjustments
from events.validation.errors import place_of
from events.validation.event import Item, ItemOutcome

AT_ONCE = 500  # rejected events per transaction, at most BATCH_ROWS; fewer if they exceed query.pages.MAX_PAGE_BYTES
SECONDS = 20.0  # per task
JUDGE_SECONDS = 5.0  # per transaction, because it holds locks

Judged = tuple[RejectedEvent, Item]


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
        ids = [pk for pk, _ in there[: fitting(size for _, size in there)]]
        if ids:
            _ask(replay, ids)
        else:
            _finish(replay)
        replay.save(
            update_fields=["cursor", "total", "accepted", "duplicates", "still_rejected", "gone", "finished_at"]
        )
        realtime.replayed(replay)
    return bool(ids)


def _ask(replay: Replay, ids: list[int]) -> None:
    rows = list(RejectedEvent.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    judged = _judged(rows)
    if len(judged) < len(rows):  # the remaining rows are replayed in the next transaction
        rows = rows[: len(judged)]
        ids = [id for id in ids if id <= rows[-1].pk]
    batches = adjustments.uncounted(row.pk for row in rows)
    outcomes = Counter(backfill.store([item for _, item in judged if not item.reasons]))
    moved = forget_rejected([row for row, item in judged if not item.reasons])
    for kind, number in _note_reasons([one for one in judged if one[1].reasons], set(batches)).items():
        moved[kind] += number
    adjustments.add(moved, "rejected")  # all at once, because the rows of counts have one lock order
    replay.cursor = ids[-1]
    replay.accepted += outcomes[ItemOutcome.ACCEPTED]
    replay.duplicates += outcomes[ItemOutcome.DUPLICATE]
    replay.still_rejected += len(rows) - outcomes[ItemOutcome.ACCEPTED] - outcomes[ItemOutcome.DUPLICATE]
    replay.gone += len(ids) - len(rows)


def _judged(rows: Sequence[RejectedEvent]) -> list[Judged]:
    """Validate these events, or as many as JUDGE_SECONDS allow, at least one."""
    judge, until = Revalidator(), time.monotonic() + JUDGE_SECONDS
    judged: list[Judged] = []
    for row in rows:
        if judged and time.monotonic() > until:
            break
        judged.append((row, judge.look(row)))
    return judged


def _note_reasons(judged: Sequence[Judged], uncounted: set[int]) -> Counter[adjustments.RollupKey]:
    """Store the current validation errors where they have changed. Return the changes of the counts."""
    moved: Counter[adjustments.RollupKey] = Counter()
    changed: list[RejectedEvent] = []
    for row, item in judged:
        before = adjustments.kind_of_rejected(row)
        first = item.reasons[0]
        now = (item.category, item.name, first["code"], place_of(first), item.reasons)
        if now == (row.category, row.name, row.code, row.pointer, row.reasons):
            continue
        row.category, row.name, row.code, row.pointer, row.reasons = now
        changed.append(row)
        if row.pk // BATCH_ROWS not in uncounted:
            moved[before] -= 1
            moved[adjustments.kind_of_rejected(row)] += 1
    RejectedEvent.objects.bulk_update(changed, ["category", "name", "code", "pointer", "reasons"])
    return moved


def _finish(replay: Replay) -> None:
    asked = replay.accepted + replay.duplicates + replay.still_rejected + replay.gone
    # Some events left the selection before they were reached; others may have joined it, committed late with a low id.
    replay.total = max(replay.total, asked)
    replay.gone += replay.total - asked
    replay.finished_at = timezone.now()
