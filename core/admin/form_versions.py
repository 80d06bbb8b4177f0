"""Version tokens of forms, so that a form does not overwrite a change that its user has not seen.

A page puts a token into its form: digests of the values that it shows, and the time. When the form is sent, the digests
are compared with the present values. The digests are keyed, because a value may be a short secret and everyone who
opens the form can read the token. The token is signed, so it cannot be forged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.html import format_html
from django.utils.safestring import SafeString

FIELD = "_seen"  # name of the form field with the token
SALT = "core.admin.form_versions"


@dataclass(frozen=True)
class Change:
    """A changed field: its label, and its present value as text, or "" if the value is not shown."""

    label: str
    now: str


def token_of(values: Mapping[str, Any]) -> str:
    """Return the token for a form that is opened with these values."""
    return signing.dumps({name: _digest(value) for name, value in values.items()}, salt=SALT)


def changed_since(token: str, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ from the token's; all names if the token is not valid."""
    try:
        seen = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return list(values)
    return [name for name, value in values.items() if name in seen and seen[name] != _digest(value)]


def conflicts(token: str, values: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ both from the token's and from the values that the form sets.

    Setting a field to its present value is not a conflict: the form was sent twice, or two users made the same change.
    """
    changed = changed_since(token, values)
    return [name for name in changed if name not in wanted or _digest(wanted[name]) != _digest(values[name])]


def words_for(changes: Iterable[Change], row: Model, address: str) -> SafeString:
    """Return the error message of a refused form: the fields, who changed them and when, and what to do."""
    return format_html(
        "{} while you were editing: {}. Nothing was saved, and what you typed is kept. Save again to overwrite the "
        'change, or <a class="link" href="{}">open the current version</a>.',
        _who_and_when(row), _named(changes), address,
    )  # fmt: skip


def deletion_words(changes: Iterable[Change], row: Model) -> str:
    """Return the message of a deletion that was refused because the row changed after the confirmation page."""
    return f"{_who_and_when(row)} after you opened this page: {_named(changes)}. Nothing was deleted. Delete it?"


def _named(changes: Iterable[Change]) -> str:
    return "; ".join(f"{change.label} (now “{change.now}”)" if change.now else change.label for change in changes)


def _who_and_when(row: Model) -> str:
    user, at = _last_change(row)
    when = f" on {timezone.localtime(at):%d %b %Y at %H:%M} {timezone.localtime(at):%Z}" if at else ""
    return f"Changed by {user or 'another user'}{when}"


def _last_change(row: Model) -> tuple[str, datetime | None]:
    """Return who last changed the row and when, from its history or, without one, from the admin's log."""
    if hasattr(row, "history"):
        last = row.history.select_related("history_user").order_by("-history_date", "-history_id").first()
        return (str(last.history_user or ""), last.history_date) if last else ("", None)
    kind = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(row.pk)).select_related("user")
    entry = entries.order_by("-action_time").first()
    return (entry.user.get_username(), entry.action_time) if entry else ("", None)


def _digest(value: Any) -> str:
    text = json.dumps(value, cls=_FormVersionEncoder, sort_keys=True)
    return salted_hmac(SALT, text, algorithm="sha256").hexdigest()[:18]


class _FormVersionEncoder(DjangoJSONEncoder):
    def default(self, value: Any) -> Any:
        if isinstance(value, Model):
            return value.pk
        try:
            return super().default(value)
        except TypeError:
            return str(value)
