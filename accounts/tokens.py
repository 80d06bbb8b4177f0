"""Services that issue access tokens and look up their users."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import AccessToken, hash_of, use_is_worth_noting
from accounts.passwords import password_proof

MAX_TOKENS = 20  # valid tokens per user; a new one replaces the least recently used


def issue_token(*, user: Any, key: str = "") -> tuple[AccessToken, str]:
    """Return a new token and its key, which is not stored. `key` is for tests that need a known key.

    The token is bound to the password that `user` was loaded with, so a concurrent change of the password ends it at
    once.
    """
    key = key or secrets.token_hex(20)
    with transaction.atomic():
        # Serialises calls for one user, so that the limit holds.
        get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)
        own = AccessToken.objects.filter(user=user)
        latest = own.valid().order_by(Coalesce("last_used_at", "created_at").desc(), "-pk")[: MAX_TOKENS - 1]
        own.exclude(pk__in=list(latest.values_list("pk", flat=True))).delete()
        token = AccessToken.objects.create(
            user=user,
            key_hash=hash_of(key),
            begins=key[:6],
            password_proof=password_proof(user),
            expires_at=timezone.now() + timedelta(days=settings.TOKEN_DAYS),
        )
    return token, key


def token_of(key: str) -> AccessToken | None:
    """Return the valid token with its user, or None. Records its use."""
    token = AccessToken.objects.valid().select_related("user").filter(key_hash=hash_of(key)).first()
    if token is not None and use_is_worth_noting(token.last_used_at):
        AccessToken.objects.filter(pk=token.pk).mark_used()
    return token
