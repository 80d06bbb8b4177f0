"""Access tokens for programs, and user preferences."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.passwords import PasswordBound, with_current_password

USED_WITHIN = timedelta(minutes=10)  # precision of `last_used_at`: one write per token in this time


def hash_of(key: str) -> str:
    """Return the stored hash of a key. A key has 160 random bits, so a fast hash without salt cannot be reversed."""
    return hashlib.sha256(key.encode()).hexdigest()


def use_is_worth_noting(last_used_at: datetime | None) -> bool:
    """Return whether a use now is far enough from the recorded one to be recorded."""
    return last_used_at is None or last_used_at < timezone.now() - USED_WITHIN


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def valid(self) -> QuerySet[AccessToken]:
        """Tokens that are not expired and whose user is active and has not changed the password since."""
        return with_current_password(self.filter(expires_at__gt=timezone.now()))

    def mark_used(self) -> None:
        """Record the time of use, unless a recent use is recorded."""
        stale = Q(last_used_at=None) | Q(last_used_at__lt=timezone.now() - USED_WITHIN)
        self.filter(stale).update(last_used_at=timezone.now())


class AccessToken(PasswordBound):
    """A program's credential, sent as `Authorization: Token <key>`.

    Only the key's hash and first characters are stored.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_tokens", db_index=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    begins = models.CharField("begins with", max_length=6, editable=False)  # of 40 digits, to distinguish tokens
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    expires_at = models.DateTimeField("expires", editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        default_permissions = ("view", "delete")  # for other users' tokens; one's own need no permission
        verbose_name = "token"
        indexes = [
            # A user's tokens: the user's own page, and the limit per user.
            models.Index(fields=["user"], name="accounts_accesstoken_user"),
        ]

    def __str__(self) -> str:
        return f"Token {self.begins}…"


class Preferences(models.Model):
    """A user's preferences. An empty `time_zone` means the installation's."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences", editable=False
    )
    time_zone = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        default_permissions = ()  # each user has their own
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"Preferences of {self.user}"
