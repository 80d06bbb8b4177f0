from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.passwords import PasswordBound


class CalendarToken(PasswordBound):
    """The secret in the address of a user's iCalendar feed. Only its SHA-256 is stored.

    It becomes invalid when it is revoked or when the user's password changes.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="calendar_token")
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    class Meta:
        default_permissions = ()  # each user has their own; the feed itself requires the permission to view tasks

    def __str__(self) -> str:
        return f"Calendar of {self.user}"
