"""Services for replays of rejected events after a schema or setting has changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Count, Max

from core.wake import wake
from events.models import Replay
from events.rejected.replay_preview import ReplayPreview, preview
from events.rejected.revalidation import Revalidator
from events.rejected.selection import Selection
from events.services.history import ChangeRefused

REPLAY = "events.tasks.replay_rejected"
MAX_RUNNING_REPLAYS = 20  # replays for which one sweep wakes a worker
SWEEP_SECONDS = 10.0  # expiry of a wake-up message; a newer sweep has sent another by then


def preview_replay(*, selection: Selection) -> ReplayPreview:
    """Return the expected results of a replay. Of a large selection, only the newest events are validated."""
    return preview(selection.rows(), Revalidator())


def start_replay(*, selection: Selection, actor: Any = None) -> Replay:
    """Start a replay of these rejected events in the background. Raises ChangeRefused for an empty selection."""
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
    """Wake workers for unfinished replays. A replay in progress is locked, and its extra worker skips it.

    They are picked at random, so that replays that fail each time do not block the others.
    """
    for replay_id in Replay.objects.under_way().order_by("?").values_list("pk", flat=True)[:MAX_RUNNING_REPLAYS]:
        wake(REPLAY, replay_id, expires=SWEEP_SECONDS)
