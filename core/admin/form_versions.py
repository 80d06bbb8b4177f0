"""What a form was opened with, so that it does not overwrite what it has not seen.

A page puts a token into its form: digests of the values that it shows, and the time. When the form comes back, the
values are compared again. Keyed digests, because a value may be a short secret and the token can be read by anyone who
opens the form. A token cannot be made by hand.
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

FIELD = "_seen"  # of the forms
SALT = "core.admin.form_versions"


@dataclass(frozen=True)
class Change:
    """What changed meanwhile: a field's label, and its present value in words; "" where it is not shown."""

    label: str
    now: str


def token_of(values: Mapping[str, Any]) -> str:
    """Return what a form keeps of the values that it is opened with."""
    return signing.dumps({name: _digest(value) for name, value in values.items()}, salt=SALT)


def changed_since(token: str, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ from those of the token; all of them if the token is not valid."""
    try:
        seen = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return list(values)
    return [name for name, value in values.items() if name in seen and seen[name] != _digest(value)]


def conflicts(token: str, values: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ from those of the token and from those that the form sets.

    What a form sets to its present value is not overwritten: it was sent twice, or two users wanted the same.
    """
    changed = changed_since(token, values)
    return [name for name in changed if name not in wanted or _digest(wanted[name]) != _digest(values[name])]


def words_for(changes: Iterable[Change], row: Model, address: str) -> SafeString:
    """Return the sentence of a refused form: which fields, who and when, and what to do."""
    return format_html(
        "{} while you were editing: {}. Nothing was saved, and what you typed is kept. Save again to overwrite the "
        'change, or <a class="link" href="{}">open the current version</a>.',
        _who_and_when(row), _named(changes), address,
    )  # fmt: skip


def deletion_words(changes: Iterable[Change], row: Model) -> str:
    """Return the sentence of a deletion that was refused because the row is not what the question was about."""
    return f"{_who_and_when(row)} after you opened this page: {_named(changes)}. Nothing was deleted. Delete it?"


def _named(changes: Iterable[Change]) -> str:
    return "; ".join(f"{change.label} (now “{change.now}”)" if change.now else change.label for change in changes)


def _who_and_when(row: Model) -> str:
    user, at = _last_change(row)
    when = f" on {timezone.localtime(at):%d %b %Y at %H:%M} {timezone.localtime(at):%Z}" if at else ""
    return f"Changed by {user or 'another user'}{when}"


def _last_change(row: Model) -> tuple[str, datetime | None]:
    """Return who changed the row last and when, by its history, else by the admin's log."""
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
