"""Secrets that end when their user's password changes, whatever changes it.

A row keeps a proof: SHA-256 of the stored password hash at the moment when the secret was issued. It counts while the
proof equals that of the current hash, so a form, a command and a plain UPDATE of the password all end it, without a
signal that one of them could miss.

One change of the stored hash is not a change of the password: after an upgrade of Django, the next login stores the
same password with more iterations. `follow_rehash` renews the proofs then.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.db.models import Func, QuerySet


class PasswordProof(Func):
    """The proof of a column that holds a stored password hash, computed by Postgres."""

    template = "encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')"
    arity = 1
    output_field = models.CharField()


def password_proof(user: Any) -> str:
    """Return the proof of the password hash that this user object was loaded with, or signed in with."""
    return hashlib.sha256(user.password.encode()).hexdigest()


class PasswordBound(models.Model):
    """A row with a `user`, and the proof of that user's password."""

    password_proof = models.CharField(max_length=64, editable=False)

    class Meta:
        abstract = True


def with_current_password(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Keep the rows whose user is active and has the password that the row was issued under."""
    return rows.filter(user__is_active=True, password_proof=PasswordProof("user__password"))


def remember_hash(*, instance: AbstractBaseUser, update_fields: Any, **_: Any) -> None:
    """A receiver of pre_save: note the hash that Django is about to replace by a stronger one of the same password."""
    # So does AbstractBaseUser.check_password(), and nothing else: `_password` is set while a password is changed.
    is_rehash = instance.pk and update_fields == {"password"} and instance._password is None  # type: ignore[attr-defined]
    old = type(instance)._default_manager.filter(pk=instance.pk).values_list("password", flat=True) if is_rehash else []
    instance._rehashed_from = next(iter(old), None)  # type: ignore[attr-defined]


def follow_rehash(*, instance: Any, **_: Any) -> None:
    """A receiver of post_save: renew the proofs that the old hash of the same password gave."""
    old, instance._rehashed_from = getattr(instance, "_rehashed_from", None), None
    if old is None:
        return
    before, after = hashlib.sha256(old.encode()).hexdigest(), password_proof(instance)
    for model in PasswordBound.__subclasses__():
        rows: QuerySet[Any] = model._default_manager.all()
        rows.filter(user_id=instance.pk, password_proof=before).update(password_proof=after)
