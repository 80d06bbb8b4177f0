from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BannerQuerySet(models.QuerySet["Banner"]):
    def unavailable(self) -> BannerQuerySet:
        """Banners that must not be sent again: reserved or sent by a broadcast, or skipped."""
        return self.filter(Q(broadcast__isnull=False) | Q(skipped_at__isnull=False))

    def sent(self) -> BannerQuerySet:
        return self.filter(broadcast__started_at__isnull=False)


class Banner(models.Model):
    """A picture of the external banner API that Opsroom has used: reserved, sent, skipped or released again."""

    source_url = models.CharField("address", max_length=2000, unique=True)
    title = models.CharField(max_length=200, blank=True, default="")
    image = models.FileField(blank=True, max_length=200, default="")
    sha256 = models.CharField(max_length=64, blank=True, default="", editable=False)
    created_at = models.DateTimeField("first seen", db_default=Now(), editable=False)
    skipped_at = models.DateTimeField("skipped", null=True, blank=True, editable=False)
    skip_reason = models.CharField(max_length=500, blank=True, default="", editable=False)

    objects = BannerQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(skipped_at__isnull=True, skip_reason="")
                | (Q(skipped_at__isnull=False) & ~Q(skip_reason="")),
                name="chats_banner_skip_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.source_url
