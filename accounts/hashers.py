"""The password hasher: Django's default, which leaves the upgrade of a stored hash to the login."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class LoginUpgradedHasher(PBKDF2PasswordHasher):
    """PBKDF2 with SHA-256, whose hashes Django's `check_password()` never replaces.

    Django would save the new hash whatever the row holds by then, and so undo a password that was changed meanwhile.
    accounts/backends.py replaces it under a condition instead.
    """

    def must_update(self, encoded: str) -> bool:
        """Return False: a check of a password writes nothing."""
        return False

    def verify(self, password: str, encoded: str) -> bool:
        """Return whether this is the password; a wrong one takes as long for an outdated hash as for a new one."""
        is_correct = super().verify(password, encoded)
        if not is_correct and self.is_outdated(encoded):
            self.harden_runtime(password, encoded)
        return is_correct

    def is_outdated(self, encoded: str) -> bool:
        """Return whether this hash has fewer iterations, or a shorter salt, than new hashes have."""
        return super().must_update(encoded)
