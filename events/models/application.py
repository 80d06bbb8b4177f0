"""Applications, which send events, and their write keys."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords

DEFAULT_RATE = 1_000  # rate limit of a new application, in events per second

SETTINGS = ("name", "unknown_types", "allowed_origins", "rate")  # what users may change

is_origin = RegexValidator(r"^https?://[^/?#\s@]+\Z", "An origin is https://host or http://host:port, nothing more.")


class Application(models.Model):
    """A trusted client that may send events. While it has events it cannot be deleted, only paused."""

    class UnknownTypes(models.TextChoices):
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    name = models.CharField(max_length=100, unique=True)
    unknown_types = models.CharField(
        "events of unknown types",
        max_length=8,
        choices=UnknownTypes,
        default=UnknownTypes.ACCEPTED,
        help_text="What happens to events whose category and name have no event type.",
    )
    # Each is scheme://host:port, as browsers send it. Empty: pages of any origin. This restricts only browsers; other
    # programs can send any Origin header.
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
    def unexpired(self, now: datetime) -> WriteKeyQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))


class WriteKey(models.Model):
    """A key that permits sending events and nothing else.

    It is shown once, when it is created. The database keeps only its SHA-256 and its first characters. While a key is
    being rotated an application has two keys: the old one works until `expires_at`.
    """

    application = models.ForeignKey(Application, models.CASCADE, related_name="keys")
    prefix = models.CharField("begins with", max_length=12, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)  # hex; the ingest looks keys up by it
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True)

    objects = WriteKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()  # keys are managed with the permissions of their application

    def __str__(self) -> str:
        return f"{self.prefix}…"
