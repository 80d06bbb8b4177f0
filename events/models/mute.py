"""Muted groups of rejected events."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from events.models.application import Application
from events.validation.errors import MAX_TEXT_LENGTH


class RejectedMute(models.Model):
    """A group that is hidden from the list until a user unmutes it. Its events are still rejected, kept and counted."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    category = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    name = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    code = models.CharField(max_length=50)
    pointer = models.CharField(max_length=300, blank=True)
    muted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    muted_at = models.DateTimeField("muted", db_default=Now(), editable=False)

    class Meta:
        default_permissions = ()
        permissions = [("mute_rejectedevent", "Can mute groups of rejected events")]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "category", "name", "code", "pointer"], name="events_rejectedmute_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.pointer}".strip()
