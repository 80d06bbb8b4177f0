"""Sign-in by user name and password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import identify_hasher

from accounts.hashers import LoginUpgradedHasher
from accounts.passwords import strengthen_hash


class PasswordBackend(ModelBackend):
    """Django's ModelBackend that also replaces an outdated password hash after a successful check."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Return the user with this name and password, or None."""
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None or not _is_outdated(user.password) or strengthen_hash(user, password):
            return user
        return None


def _is_outdated(encoded: str) -> bool:
    hasher = identify_hasher(encoded)
    return isinstance(hasher, LoginUpgradedHasher) and hasher.is_outdated(encoded)
