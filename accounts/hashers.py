"""Password hasher: Django's default, but the login upgrades stored hashes."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class LoginUpgradedHasher(PBKDF2PasswordHasher):
    """PBKDF2 with SHA-256 whose hashes Django's `check_password()` never replaces.

    Django would save the new hash unconditionally and so undo a concurrent change of the password. accounts/backends.py
    replaces it by a conditional update instead.
    """

    def must_update(self, encoded: str) -> bool:
        """Return False, because checking a password must not write."""
        return False

    def verify(self, password: str, encoded: str) -> bool:
        """Return whether the password is correct. A wrong password takes equally long for outdated and new hashes."""
        is_correct = super().verify(password, encoded)
        if not is_correct and self.is_outdated(encoded):
            self.harden_runtime(password, encoded)
        return is_correct

    def is_outdated(self, encoded: str) -> bool:
        """Return whether this hash has fewer iterations or a shorter salt than new hashes have."""
        return super().must_update(encoded)
