"""Who may send events: applications and their write keys."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords

DEFAULT_RATE = 1_000  # events a second of a new application

is_origin = RegexValidator(r"^https?://[^/?#\s@]+\Z", "An origin is https://host or http://host:port, nothing more.")


class Application(models.Model):
    """A trusted client. It is paused rather than deleted while there are events of it."""

    class UnknownTypes(models.TextChoices):
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    name = models.CharField(max_length=100, unique=True)
    unknown_types = models.CharField(
        "events of unknown types",
        max_length=8,
        choices=UnknownTypes,
        default=UnknownTypes.ACCEPTED,
        help_text="What becomes of an event whose category and name nobody has described yet.",
    )
    # scheme://host:port each, as browsers send it; empty: pages of any origin. Advice to browsers, no protection.
    allowed_origins = ArrayField(models.CharField(max_length=300, validators=[is_origin]), default=list, blank=True)
    rate = models.PositiveIntegerField(
        default=DEFAULT_RATE,
        help_text="Events per second, in each web process. 0 = unlimited. Excess requests get 429 with Retry-After.",
    )
    paused = models.BooleanField(default=False, help_text="Refuses its keys until it is resumed.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)

    history = HistoricalRecords()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="events_application_named"),
            models.CheckConstraint(
                condition=Q(unknown_types__in=["accepted", "rejected"]), name="events_application_unknown_types"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WriteKeyQuerySet(models.QuerySet["WriteKey"]):
    def valid(self, now: datetime) -> WriteKeyQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), application__paused=False)


class WriteKey(models.Model):
    """A key that may send events and nothing else. Shown once; what is kept is its SHA-256, and its beginning.

    An application has two while a key is being rotated: the old one until `expires_at`.
    """

    application = models.ForeignKey(Application, models.CASCADE, related_name="keys")
    prefix = models.CharField("begins with", max_length=12, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)  # hex; also how the ingest finds it
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True)

    objects = WriteKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()  # they come and go with their application

    def __str__(self) -> str:
        return f"{self.prefix}…"
