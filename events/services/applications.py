"""Services for applications, which may send events, and their write keys."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from core.database.deadlocks import retried
from events.models import Application, Event, RejectedEvent, WriteKey
from events.models.application import SETTINGS
from events.services.history import ChangeRefused, add_history, save

KEY_BEGINNING = 8  # first characters of a key that are stored and shown
MAX_OVERLAP_HOURS = 30 * 24  # how long an old key may stay valid


class NewApplication(NamedTuple):
    application: Application
    write_key: str  # to be shown once; the database has only its hash


class NewKey(NamedTuple):
    key: WriteKey
    write_key: str


def create_application(*, actor: Any = None, **settings: Any) -> NewApplication:
    """Create an application with these SETTINGS. Raises ChangeRefused if the name is taken."""
    application = Application(**_checked(settings), created_by=actor)
    with transaction.atomic():
        save(application, actor, "Created")
        return NewApplication(application, _new_key(application, actor).write_key)


def update_application(*, application: Application, actor: Any = None, **changes: Any) -> Application:
    """Set some of the SETTINGS. Return the application as it is now.

    Raises Application.DoesNotExist if it was deleted, ChangeRefused if another application has that name.
    """
    return _change(application, actor, _checked(changes), "Changed")


def pause(*, application: Application, actor: Any = None) -> Application:
    """Reject requests with its keys until it is resumed."""
    return _change(application, actor, {"paused": True}, "Paused")


def resume(*, application: Application, actor: Any = None) -> Application:
    """Accept its events again."""
    return _change(application, actor, {"paused": False}, "Resumed")


@retried
def delete_application(*, application: Application, actor: Any = None) -> None:
    """Delete an application without any accepted or rejected event.

    Otherwise raises ChangeRefused; pause it instead.
    """
    with transaction.atomic():
        locked = Application.objects.select_for_update().filter(pk=application.pk).first()
        if locked is None:
            return
        # Checked first, because Django would load all of them for its error message.
        if any(model.objects.filter(application=locked).exists() for model in (Event, RejectedEvent)):
            raise ChangeRefused(f"{locked} has events, so it cannot be deleted. Pause it instead.")
        locked._history_user = actor  # type: ignore[attr-defined]
        locked.delete()


@retried
def rotate_key(*, application: Application, overlap_hours: float = 24, actor: Any = None) -> NewKey:
    """Create a new key for the application. Its current keys expire after `overlap_hours`, or earlier if already set.

    Raises ValueError for an overlap that is negative or longer than MAX_OVERLAP_HOURS.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise ValueError(f"The overlap must be between 0 and {MAX_OVERLAP_HOURS} hours.")
    ends = timezone.now() + timedelta(hours=overlap_hours)
    with transaction.atomic():
        locked = Application.objects.select_for_update().get(pk=application.pk)  # serialises rotations
        locked.keys.filter(Q(expires_at=None) | Q(expires_at__gt=ends)).update(expires_at=ends)
        made = _new_key(locked, actor)
        add_history(locked, actor, f"Rotated its key to {made.key}")
    return made


@retried
def revoke_key(*, key: WriteKey, actor: Any = None) -> None:
    """Revoke this key immediately. Does nothing if it has expired or was deleted."""
    with transaction.atomic():
        application = Application.objects.select_for_update().get(pk=key.application_id)
        now = timezone.now()
        if application.keys.filter(Q(expires_at=None) | Q(expires_at__gt=now), pk=key.pk).update(expires_at=now):
            add_history(application, actor, f"Revoked its key {key}")


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, with each origin once and in lower case as browsers send it; others would never match."""
    if unknown := settings.keys() - set(SETTINGS):
        raise ValueError(f"Not to be set on an application: {', '.join(sorted(unknown))}.")
    if "allowed_origins" in settings:
        return settings | {"allowed_origins": list(dict.fromkeys(map(str.lower, settings["allowed_origins"])))}
    return settings


def _change(application: Application, actor: Any, changes: dict[str, Any], reason: str) -> Application:
    with transaction.atomic():
        locked = Application.objects.select_for_update().get(pk=application.pk)
        found = [name for name, value in changes.items() if getattr(locked, name) != value]
        for name in found:
            setattr(locked, name, changes[name])
        if found:
            save(locked, actor, reason, found)
    return locked


def _new_key(application: Application, actor: Any) -> NewKey:
    secret = f"wk_{secrets.token_urlsafe(24)}"
    digest = hashlib.sha256(secret.encode()).hexdigest()
    key = WriteKey.objects.create(
        application=application, prefix=secret[:KEY_BEGINNING], key_hash=digest, created_by=actor
    )
    return NewKey(key, secret)
