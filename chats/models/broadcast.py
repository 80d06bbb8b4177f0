from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, connection, models, transaction
from django.db.models import Case, F, Max, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone
from simple_history.models import HistoricalRecords

from chats import realtime

log = structlog.get_logger(__name__)


class BroadcastNotAllowed(Exception):
    """The requested change does not fit the broadcast's state. The exception's text is a sentence for the user."""


class BroadcastQuerySet(models.QuerySet["Broadcast"]):
    def scheduled(self) -> BroadcastQuerySet:
        return self.filter(status=Broadcast.Status.SCHEDULED)

    def queued(self) -> BroadcastQuerySet:
        return self.filter(status=Broadcast.Status.QUEUED)

    def sending(self) -> BroadcastQuerySet:
        return self.filter(status=Broadcast.Status.SENDING)

    def held_by(self, preparer: Broadcast) -> BroadcastQuerySet:
        """The row of `preparer`, while it is queued and its lease is the one that `preparer` was read with.

        Every write of a preparing worker has this condition, so a worker whose lease expired changes nothing.
        """
        return self.queued().filter(pk=preparer.pk, lease_until=preparer.lease_until)

    def keeping_a_banner(self) -> BroadcastQuerySet:
        """Cancelled broadcasts without any delivered message whose banner was not released yet."""
        return self.filter(status=Broadcast.Status.CANCELLED, delivered=0, banner__isnull=False)

    def changeable(self) -> BroadcastQuerySet:
        """Broadcasts whose content and time may be changed."""
        return self.filter(status__in=Broadcast.CHANGEABLE)

    def unfinished(self) -> BroadcastQuerySet:
        """Broadcasts that still need work by a worker or a decision by a user."""
        return self.filter(status__in=[*Broadcast.MOVING, Broadcast.Status.MISSED])


class Broadcast(models.Model):
    """One content for many chats, from its creation to the last message.

    The audience is frozen when sending starts (chats/broadcasts/fanout.py). From then on, delivered + skipped ≤
    audience_size, and they are equal once it is sent.
    """

    class Status(models.TextChoices):
        SCHEDULED = "scheduled"
        QUEUED = "queued"  # a worker downloads the banner and freezes the audience
        SENDING = "sending"
        PAUSED = "paused"
        SENT = "sent"
        CANCELLED = "cancelled"
        FAILED = "failed"
        MISSED = "missed"  # its time passed while no worker was running: a user decides whether to send it

    class Audience(models.TextChoices):
        ALL = "all", "all chats"
        LISTED = "listed", "listed users"

    CHANGEABLE = [Status.SCHEDULED, Status.MISSED]
    DELETABLE = [Status.SCHEDULED, Status.MISSED, Status.CANCELLED, Status.FAILED]
    MOVING = [Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.PAUSED]
    FINISHED = [Status.SENT, Status.CANCELLED, Status.FAILED]

    text = models.TextField(blank=True, default="", max_length=4000)
    image = models.FileField(blank=True, max_length=200, default="")
    # One-to-one: no banner is sent twice. A failed broadcast releases its banner and keeps the address.
    banner = models.OneToOneField("chats.Banner", models.PROTECT, null=True, blank=True, related_name="broadcast")
    banner_url = models.CharField(max_length=2000, blank=True, default="", editable=False)
    audience = models.CharField(max_length=10, choices=Audience, default=Audience.ALL)
    send_at = models.DateTimeField("send at", null=True, blank=True)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)
    audience_size = models.PositiveIntegerField(null=True, editable=False)
    delivered = models.PositiveIntegerField(default=0, editable=False)
    skipped = models.PositiveIntegerField(default=0, editable=False)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    started_at = models.DateTimeField("started", null=True, editable=False)
    finished_at = models.DateTimeField("finished", null=True, editable=False)
    retracted_at = models.DateTimeField("retracted", null=True, editable=False)
    # Repeated requests with one key, such as a double click, create one broadcast.
    request_key = models.UUIDField(null=True, unique=True, editable=False)
    # While this is in the future, a worker is preparing the broadcast; after it, that worker is considered dead. The
    # value also identifies the worker, and every change of the status ends the lease.
    lease_until = models.DateTimeField(null=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=["delivered", "skipped", "audience_size", "lease_until", "request_key", "started_at"]
    )
    objects = BroadcastQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("send_broadcast", "Can send, pause, cancel and retract broadcasts")]
        indexes = [
            # Query of the sweeper every few seconds, and of the dashboard: which broadcasts are in progress?
            models.Index(
                fields=["status", "send_at"],
                condition=Q(status__in=["scheduled", "queued", "sending", "paused"]),
                name="chats_broadcast_moving",
            ),
            # Query before a picture is served, and of the file sweeper: which broadcast has this image?
            models.Index(fields=["image"], condition=~Q(image=""), name="chats_broadcast_picture"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    status__in=["scheduled", "queued", "sending", "paused", "sent", "cancelled", "failed", "missed"]
                ),
                name="chats_broadcast_status",
            ),
            models.CheckConstraint(condition=Q(audience__in=["all", "listed"]), name="chats_broadcast_audience"),
            models.CheckConstraint(condition=~Q(text="", image="", banner_url=""), name="chats_broadcast_content"),
            models.CheckConstraint(
                condition=Q(banner__isnull=True) | ~Q(banner_url=""), name="chats_broadcast_banner_url"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["scheduled", "missed"]) | Q(send_at__isnull=False),
                name="chats_broadcast_scheduled_when",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["sending", "sent"]) | Q(audience_size__isnull=False, started_at__isnull=False),
                name="chats_broadcast_frozen",
            ),
            # The audience is frozen just before sending, so nothing without content is sent.
            models.CheckConstraint(
                condition=Q(audience_size__isnull=True) | ~Q(text="", image=""), name="chats_broadcast_sends_content"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["scheduled", "queued", "missed"]) | Q(audience_size__isnull=True),
                name="chats_broadcast_waits_unfrozen",
            ),
            models.CheckConstraint(
                condition=Q(delivered=0, skipped=0) | Q(audience_size__gte=F("delivered") + F("skipped")),
                name="chats_broadcast_counted",
            ),
            models.CheckConstraint(
                condition=~Q(status="sent") | Q(audience_size=F("delivered") + F("skipped")),
                name="chats_broadcast_all_accounted_for",
            ),
            models.CheckConstraint(
                condition=~Q(status="failed") | (Q(delivered=0, skipped=0, banner__isnull=True) & ~Q(error="")),
                name="chats_broadcast_failed_before_any_message",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["sent", "cancelled", "failed"], finished_at__isnull=False)
                | (~Q(status__in=["sent", "cancelled", "failed"]) & Q(finished_at__isnull=True)),
                name="chats_broadcast_finished_when",
            ),
        ]

    def __str__(self) -> str:
        return f"Broadcast {self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.status in self.FINISHED

    @property
    def is_deletable(self) -> bool:
        """Whether it is not in progress and its sending never started, so that no chat can contain it."""
        return self.status in self.DELETABLE and self.audience_size is None

    @property
    def may_move(self) -> bool:
        """Whether its status may still change: all but sent or cancelled broadcasts. A failed one may be retried."""
        return self.status not in (self.Status.SENT, self.Status.CANCELLED)

    @property
    def version(self) -> int:
        """The id of its last step. A user who saw another version has not seen the current content."""
        return self.steps.aggregate(last=Max("pk"))["last"] or 0

    @property
    def listed_size(self) -> int | None:
        """The number of listed users, or None if it is for all chats. A list never changes, so it is counted once."""
        if self.audience == self.Audience.ALL:
            return None
        if self.audience_size is not None:
            return self.audience_size
        return cache.get_or_set(f"chats.listed.{self.pk}", self.recipients.count, 24 * 3600)

    @property
    def percent(self) -> int:
        """The progress of the fan-out. It is 100 only when nothing is left."""
        if not self.audience_size:
            return 100 if self.status == self.Status.SENT else 0
        return (self.delivered + self.skipped) * 100 // self.audience_size

    def pause(self, actor: Any) -> None:
        """Stop after the chunks that have already committed. `resume` continues from there."""
        self._move(self.Status.PAUSED, [self.Status.QUEUED, self.Status.SENDING], actor)

    def resume(self, actor: Any) -> None:
        """Continue a paused or missed broadcast: with sending if the audience is frozen, otherwise with preparing."""
        frozen = When(audience_size__isnull=False, then=Value(self.Status.SENDING))
        to = Case(frozen, default=Value(self.Status.QUEUED))
        self._move(to, [self.Status.PAUSED, self.Status.MISSED], actor, wanted="resumed", send_at=_due_again())

    def cancel(self, actor: Any) -> None:
        """Stop permanently. Delivered messages stay until the broadcast is retracted; an unsent banner is released."""
        self._move(self.Status.CANCELLED, [*self.MOVING, self.Status.MISSED], actor, finished_at=Now())
        self.give_back_banner()

    def give_back_banner(self) -> None:
        """Release the banner of a cancelled broadcast that delivered no message.

        This needs its own transaction after the new status is committed. The banner column is unique, so changing it
        takes the strongest row lock, which waits for workers that have inserted messages of this broadcast. These
        workers roll back when they see the status; before its commit, they would wait for this transaction: a deadlock.
        If they take long, the sweeper tries again.
        """
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '2s'")  # longer than a chunk takes
                Broadcast.objects.keeping_a_banner().filter(pk=self.pk).update(banner=None)
        except OperationalError as error:
            log.warning("banner_not_given_back_yet", broadcast=self.pk, error=str(error))
        with suppress(Broadcast.DoesNotExist):  # a cancelled broadcast can be deleted immediately
            self.refresh_from_db()

    def requeue(self, actor: Any, **fields: Any) -> None:
        """Queue a failed broadcast again."""
        fields |= {"error": "", "finished_at": None, "send_at": _due_again()}
        self._move(self.Status.QUEUED, [self.Status.FAILED], actor, **fields)

    def queue_when_due(self) -> None:
        """Queue a scheduled broadcast if its time has come. It may have been postponed meanwhile.

        A broadcast that is late by more than BROADCAST_GRACE_MINUTES becomes missed instead.
        """
        to = Case(When(_too_late(), then=Value(self.Status.MISSED)), default=Value(self.Status.QUEUED))
        self._move(to, [self.Status.SCHEDULED], None, wanted="queued", only=Q(send_at__lte=Now()))

    def miss(self) -> None:
        """Mark a queued broadcast as missed if it is prepared too late.

        This object must hold the lease of the preparation.
        """
        only = _too_late() & Q(lease_until=self.lease_until)
        self._move(self.Status.MISSED, [self.Status.QUEUED], None, only=only)

    def fail(self, reason: str) -> None:
        """Record why nothing could be sent, and release the banner. Only while this worker's lease is valid."""
        self._move(
            self.Status.FAILED, [self.Status.QUEUED], None, only=Q(lease_until=self.lease_until), note=reason[:500],
            error=reason[:500], banner=None, finished_at=Now(),
        )  # fmt: skip

    def retract(self, actor: Any) -> None:
        """Hide this broadcast's messages from all chats at once."""
        self._set_retracted(True, actor)

    def restore(self, actor: Any) -> None:
        """Undo `retract`: the messages are visible again, with their read marks."""
        self._set_retracted(False, actor)

    def _set_retracted(self, wanted: bool, actor: Any) -> None:
        may = [self.Status.PAUSED, self.Status.SENT, self.Status.CANCELLED]
        with transaction.atomic():
            changed = Broadcast.objects.filter(
                pk=self.pk, status__in=may, delivered__gt=0, retracted_at__isnull=wanted
            ).update(retracted_at=timezone.now() if wanted else None)
            if not changed:
                raise BroadcastNotAllowed(self._why_not("retracted" if wanted else "restored"))
            self.steps.create(verb="retracted" if wanted else "restored", actor=actor)
            self.refresh_from_db()
            realtime.broadcast_progress(self)

    def _move(
        self,
        to: Broadcast.Status | Case,
        allowed: list[Broadcast.Status],
        actor: Any,
        *,
        wanted: str = "",
        only: Q | None = None,
        note: str = "",
        **fields: Any,
    ) -> None:
        """Change the status if it is still one of `allowed` and `only` holds. Exactly one concurrent caller succeeds.

        The UPDATE decides everything, because this object may be older than the row.
        """
        with transaction.atomic():
            row = Broadcast.objects.filter(only or Q(), pk=self.pk, status__in=allowed)
            if not row.update(status=to, lease_until=None, **fields):
                raise BroadcastNotAllowed(self._why_not(wanted or str(to)))
            self.refresh_from_db()
            self.steps.create(verb=self.status, actor=actor, note=note)
            realtime.broadcast_progress(self)

    def _why_not(self, wanted: str) -> str:
        try:
            self.refresh_from_db()
        except Broadcast.DoesNotExist:
            return f"Broadcast {self.pk} was deleted."
        state = "retracted" if self.retracted_at else self.status
        return f"Broadcast {self.pk} is {state} and cannot be {wanted} now."


def _too_late() -> Q:
    return Q(send_at__lt=Now() - timedelta(minutes=settings.BROADCAST_GRACE_MINUTES))


def _due_again() -> Case:
    """The new time of a scheduled broadcast that a user sends now, so that it does not count as late."""
    return Case(When(audience_size__isnull=True, send_at__isnull=False, then=Now()), default=F("send_at"))
