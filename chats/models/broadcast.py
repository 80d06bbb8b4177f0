from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Max, Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords

from chats.models.audience import ALL_CHATS, KINDS, Audience


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

    CHANGEABLE = [Status.SCHEDULED, Status.MISSED]
    DELETABLE = [Status.SCHEDULED, Status.MISSED, Status.CANCELLED, Status.FAILED]
    MOVING = [Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.PAUSED]
    FINISHED = [Status.SENT, Status.CANCELLED, Status.FAILED]
    RETRACTABLE = [Status.PAUSED, Status.SENT, Status.CANCELLED]

    text = models.TextField(blank=True, default="", max_length=4000)
    image = models.FileField(blank=True, max_length=200, default="")
    # One-to-one: no banner is sent twice. A failed broadcast releases its banner and keeps the address.
    banner = models.OneToOneField("chats.Banner", models.PROTECT, null=True, blank=True, related_name="broadcast")
    banner_url = models.CharField(max_length=2000, blank=True, default="", editable=False)
    audience = models.CharField(
        max_length=10, choices=[(kind.kind, kind.label) for kind in KINDS.values()], default=ALL_CHATS.kind
    )
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
            models.CheckConstraint(condition=Q(audience__in=list(KINDS)), name="chats_broadcast_audience"),
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
    def is_changing(self) -> bool:
        """Whether its status may still change: all but sent or cancelled broadcasts. A failed one may be retried."""
        return self.status not in (self.Status.SENT, self.Status.CANCELLED)

    @property
    def version(self) -> int:
        """The id of its last step. A user who saw another version has not seen the current content."""
        return self.steps.aggregate(last=Max("pk"))["last"] or 0

    @property
    def kind(self) -> type[Audience]:
        """The class of its audience."""
        return KINDS[self.audience]

    @property
    def percent(self) -> int:
        """The progress of the fan-out. It is 100 only when nothing is left."""
        if not self.audience_size:
            return 100 if self.status == self.Status.SENT else 0
        return (self.delivered + self.skipped) * 100 // self.audience_size
