from __future__ import annotations

from django.db import models
from django.db.models import Q


class IdempotencyKey(models.Model):
    """Stored first response to a POST with an `Idempotency-Key`: see core/rest/idempotency.py.

    No foreign key to the user: an insert would lock the user's row before rows that are locked first elsewhere.
    """

    user_id = models.BigIntegerField(editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    status = models.PositiveSmallIntegerField(editable=False)
    sealed = models.BinaryField()
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "live_idempotencykey"  # the table is older than this app
        default_permissions = ()
        indexes = [
            # For the retention, which deletes expired responses.
            models.Index(fields=["expires_at"], name="live_idempotencykey_expires"),
        ]
        constraints = [
            # Also the index for looking up a key.
            models.UniqueConstraint(fields=["user_id", "key_hash"], name="live_idempotencykey_once"),
            models.CheckConstraint(condition=Q(status__lt=400), name="live_idempotencykey_succeeded"),
        ]

    def __str__(self) -> str:
        return f"{self.status} until {self.expires_at:%Y-%m-%d %H:%M}"
