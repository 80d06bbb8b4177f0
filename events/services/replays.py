"""Asking rejected events again, after a schema or a setting has changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Count, Max

from core.wake import wake
from events.models import Replay
from events.rejected.replay_preview import Rehearsal, rehearse
from events.rejected.revalidation import Judge
from events.rejected.selection import Selection
from events.services.history import ChangeRefused

REPLAY = "events.tasks.replay"
MAX_RUNNING_REPLAYS = 20  # replays for which a sweep wakes a worker
SWEEP_SECONDS = 10.0  # what an older message would do, a newer one has been sent for


def rehearse_replay(*, selection: Selection) -> Rehearsal:
    """Tell what a replay of these would do; of many, of the newest ones."""
    return rehearse(selection.rows(), Judge())


def start_replay(*, selection: Selection, actor: Any = None) -> Replay:
    """Ask these rejected events again, in the background. Raises ChangeRefused where there are none."""
    with transaction.atomic():
        found = selection.rows().aggregate(total=Count("pk"), last=Max("pk"))
        if not found["total"]:
            raise ChangeRefused("There are no such rejected events any more.")
        replay = Replay.objects.create(
            selection=selection.as_json(), last_id=found["last"], total=found["total"], created_by=actor
        )
        wake(REPLAY, replay.pk)
    return replay


def sweep_replays() -> None:
    """Wake workers for replays that are not finished. A replay that is being worked on is locked, and skipped.

    They are picked at random, so that replays which fail each time do not keep the others from being picked.
    """
    for replay_id in Replay.objects.under_way().order_by("?").values_list("pk", flat=True)[:MAX_RUNNING_REPLAYS]:
        wake(REPLAY, replay_id, expires=SWEEP_SECONDS)
