"""Secrets that become invalid when their user's password changes, however it is changed.

A row stores a proof: SHA-256 of the stored password hash at the time the secret was issued. The secret is valid while
the proof equals that of the current hash. A form, a command and a plain UPDATE of the password therefore all end it,
without a signal that one of them could miss.

One change of the stored hash is not a change of the password: after an upgrade of Django, the next login stores the
same password with more iterations. `strengthen_hash` renews the proofs together with the hash.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import models, transaction
from django.db.models import Func, QuerySet


class PasswordProof(Func):
    """SQL expression for the proof of a column that holds a stored password hash."""

    template = "encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')"
    arity = 1
    output_field = models.CharField()


def password_proof(user: Any) -> str:
    """Return the proof of the password hash in this user object, which is the one it was loaded or signed in with."""
    return hashlib.sha256(user.password.encode()).hexdigest()


class PasswordBound(models.Model):
    """Abstract row with a `user` and the proof of that user's password."""

    password_proof = models.CharField(max_length=64, editable=False)

    class Meta:
        abstract = True


def with_current_password(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Keep the rows whose user is active and still has the password under which the row was issued."""
    return rows.filter(user__is_active=True, password_proof=PasswordProof("user__password"))


def strengthen_hash(user: Any, password: str) -> bool:
    """Store the same password with the current hasher. Return whether the user still has this password.

    Only the hash that was checked is replaced: a concurrent change of the password is kept, and of two concurrent
    logins the second uses the hash of the first. The proofs change in the same transaction.
    """
    old, new = user.password, make_password(password)
    with transaction.atomic():
        if type(user)._default_manager.filter(pk=user.pk, password=old).update(password=new):
            before, after = (hashlib.sha256(encoded.encode()).hexdigest() for encoded in (old, new))
            for model in PasswordBound.__subclasses__():
                rows: QuerySet[Any] = model._default_manager.all()
                rows.filter(user_id=user.pk, password_proof=before).update(password_proof=after)
            user.password = new
            return True
    user.refresh_from_db(fields=["password"])
    return bool(user.check_password(password))
