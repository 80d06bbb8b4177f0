"""Changes of a broadcast's state: by a user (pause, resume, cancel, retry, retract, restore) or by a worker.

Each is one UPDATE with the states that it may start from, because the caller's object may be older than the row. So
exactly one of several concurrent callers succeeds; the others get BroadcastNotAllowed. The same transaction records a
step and publishes the progress, and wakes workers on commit.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from chats import realtime
from chats.models import Banner, Broadcast, BroadcastNotAllowed
from core.database.deadlocks import retried
from core.wake import wake

log = structlog.get_logger(__name__)
Status = Broadcast.Status
PREPARE, FAN_OUT = "chats.tasks.prepare_broadcast", "chats.tasks.fan_out_broadcast"


def wake_workers(broadcast: Broadcast) -> None:
    """Wake up to BROADCAST_WORKERS workers to send this broadcast, or one to prepare it."""
    if broadcast.status == Status.QUEUED:
        wake(PREPARE, broadcast.pk)
        return
    for _ in range(settings.BROADCAST_WORKERS):
        wake(FAN_OUT, broadcast.pk)


def pause(*, broadcast: Broadcast, actor: Any) -> None:
    """Stop after the chunks that have already committed. `resume` continues from there."""
    _change(broadcast, Status.PAUSED, [Status.QUEUED, Status.SENDING], actor)


def resume(*, broadcast: Broadcast, actor: Any) -> None:
    """Continue a paused broadcast, or send a missed one now: with sending if the audience is frozen, else preparing."""
    frozen = When(audience_size__isnull=False, then=Value(Status.SENDING))
    to = Case(frozen, default=Value(Status.QUEUED))
    with transaction.atomic():
        _change(broadcast, to, [Status.PAUSED, Status.MISSED], actor, wanted="resumed", send_at=_due_again())
        wake_workers(broadcast)


def cancel(*, broadcast: Broadcast, actor: Any) -> None:
    """Stop permanently. Delivered messages stay until the broadcast is retracted; an unsent banner is released."""
    _change(broadcast, Status.CANCELLED, [*Broadcast.MOVING, Status.MISSED], actor, finished_at=Now())
    release_banner(broadcast)


def release_banner(broadcast: Broadcast) -> None:
    """Release the banner of a cancelled broadcast that delivered no message.

    This needs its own transaction after the new status is committed. The banner column is unique, so changing it takes
    the strongest row lock, which waits for workers that have inserted messages of this broadcast. These workers roll
    back when they see the status; before its commit, they would wait for this transaction: a deadlock. If they take
    long, the sweeper tries again.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")  # longer than a chunk takes
            Broadcast.objects.keeping_a_banner().filter(pk=broadcast.pk).update(banner=None)
    except OperationalError as error:
        log.warning("banner_not_given_back_yet", broadcast=broadcast.pk, error=str(error))
    with suppress(Broadcast.DoesNotExist):  # a cancelled broadcast can be deleted immediately
        broadcast.refresh_from_db()


@retried
def retry(*, broadcast: Broadcast, actor: Any) -> None:
    """Queue a failed broadcast again, with its own banner unless another broadcast has sent it meanwhile."""
    try:
        with transaction.atomic():
            banner = None
            if broadcast.banner_url:
                banner = Banner.objects.select_for_update().get(source_url=broadcast.banner_url)
                Banner.objects.filter(pk=banner.pk).update(skipped_at=None, skip_reason="")
            _change(
                broadcast, Status.QUEUED, [Status.FAILED], actor, error="", finished_at=None, send_at=_due_again(),
                banner=banner,
            )  # fmt: skip
            wake_workers(broadcast)
    except IntegrityError as error:
        raise BroadcastNotAllowed("Its banner has been sent by another broadcast meanwhile.") from error


def queue_when_due(broadcast: Broadcast) -> None:
    """Queue a scheduled broadcast if its time has come. It may have been postponed meanwhile.

    A broadcast that is late by more than BROADCAST_GRACE_MINUTES becomes missed instead.
    """
    to = Case(When(_is_too_late(), then=Value(Status.MISSED)), default=Value(Status.QUEUED))
    _change(broadcast, to, [Status.SCHEDULED], None, wanted="queued", only=Q(send_at__lte=Now()))


def miss(broadcast: Broadcast) -> None:
    """Mark a queued broadcast as missed if it is prepared too late, while this worker's lease is valid."""
    only = _is_too_late() & Q(lease_until=broadcast.lease_until)
    _change(broadcast, Status.MISSED, [Status.QUEUED], None, only=only)


def fail(broadcast: Broadcast, reason: str) -> None:
    """Record why nothing could be sent, and release the banner, while this worker's lease is valid."""
    _change(
        broadcast, Status.FAILED, [Status.QUEUED], None, only=Q(lease_until=broadcast.lease_until), note=reason[:500],
        error=reason[:500], banner=None, finished_at=Now(),
    )  # fmt: skip


def retract(*, broadcast: Broadcast, actor: Any) -> None:
    """Hide this broadcast's messages from all chats at once."""
    _set_retracted(broadcast, True, actor)


def restore(*, broadcast: Broadcast, actor: Any) -> None:
    """Undo `retract`: the messages are visible again, with their read marks."""
    _set_retracted(broadcast, False, actor)


def _set_retracted(broadcast: Broadcast, wanted: bool, actor: Any) -> None:
    verb = "retracted" if wanted else "restored"
    with transaction.atomic():
        changed = Broadcast.objects.filter(
            pk=broadcast.pk, status__in=Broadcast.RETRACTABLE, delivered__gt=0, retracted_at__isnull=wanted
        ).update(retracted_at=timezone.now() if wanted else None)
        _record(broadcast, changed, verb, actor, step=verb)


def _change(
    broadcast: Broadcast,
    to: Broadcast.Status | Case,
    allowed: Collection[Broadcast.Status],
    actor: Any,
    *,
    wanted: str = "",
    only: Q | None = None,
    note: str = "",
    **fields: Any,
) -> None:
    """Change the status if it is still one of `allowed` and `only` holds."""
    with transaction.atomic():
        row = Broadcast.objects.filter(only or Q(), pk=broadcast.pk, status__in=allowed)
        _record(broadcast, row.update(status=to, lease_until=None, **fields), wanted or str(to), actor, note=note)


def _record(broadcast: Broadcast, changed: int, wanted: str, actor: Any, *, step: str = "", note: str = "") -> None:
    """Reload the broadcast, record its step and publish it. Raises BroadcastNotAllowed if no row was changed."""
    if not changed:
        raise BroadcastNotAllowed(_why_not(broadcast, wanted))
    broadcast.refresh_from_db()
    broadcast.steps.create(verb=step or broadcast.status, actor=actor, note=note)
    realtime.broadcast_progress(broadcast)


def _why_not(broadcast: Broadcast, wanted: str) -> str:
    try:
        broadcast.refresh_from_db()
    except Broadcast.DoesNotExist:
        return f"Broadcast {broadcast.pk} was deleted."
    state = "retracted" if broadcast.retracted_at else broadcast.status
    return f"Broadcast {broadcast.pk} is {state} and cannot be {wanted} now."


def _is_too_late() -> Q:
    return Q(send_at__lt=Now() - timedelta(minutes=settings.BROADCAST_GRACE_MINUTES))


def _due_again() -> Case:
    """The new time of a scheduled broadcast that a user sends now, so that it does not count as late."""
    return Case(When(audience_size__isnull=True, send_at__isnull=False, then=Now()), default=F("send_at"))
