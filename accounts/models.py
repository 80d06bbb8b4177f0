"""The tokens of programs, and what people prefer."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.passwords import PasswordBound, with_current_password

USED_WITHIN = timedelta(minutes=10)  # how exact `last_used_at` is: one write per token in this time


def hash_of(key: str) -> str:
    """Return what is stored of a key. A key has 160 random bits, so a quick hash without salt cannot be reversed."""
    return hashlib.sha256(key.encode()).hexdigest()


def use_is_worth_noting(last_used_at: datetime | None) -> bool:
    """Say whether a use at this moment is far enough from the one that is noted."""
    return last_used_at is None or last_used_at < timezone.now() - USED_WITHIN


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def valid(self) -> QuerySet[AccessToken]:
        """Tokens that open something: not expired, of active users who have not changed their password since."""
        return with_current_password(self.filter(expires_at__gt=timezone.now()))

    def mark_used(self) -> None:
        """Note the moment, unless one shortly before is noted."""
        stale = Q(last_used_at=None) | Q(last_used_at__lt=timezone.now() - USED_WITHIN)
        self.filter(stale).update(last_used_at=timezone.now())


class AccessToken(PasswordBound):
    """What a program signs in with, as `Authorization: Token <key>`. Only the key's hash and beginning are stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_tokens", db_index=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    begins = models.CharField("begins with", max_length=6, editable=False)  # of 40 digits: to tell tokens apart
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    expires_at = models.DateTimeField("expires", editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        default_permissions = ("view", "delete")  # of other users' tokens; one's own take no permission
        verbose_name = "token"
        indexes = [
            # A user's tokens: the page of one's own access, and the limit for each user.
            models.Index(fields=["user"], name="accounts_accesstoken_user"),
        ]

    def __str__(self) -> str:
        return f"Token {self.begins}…"


class Preferences(models.Model):
    """What a person prefers. An empty `time_zone` is the installation's."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences", editable=False
    )
    time_zone = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        default_permissions = ()  # everybody has their own
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"Preferences of {self.user}"
