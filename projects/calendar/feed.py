"""The iCalendar feed (RFC 5545): one event per due date, for calendar programs that cannot log in.

The address contains a 256-bit secret, of which only the hash is stored. The feed shows what its owner may see at the
time of the request. It stops working if the owner is deactivated, changes the password or loses the permission to view
tasks.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.models import use_is_worth_noting
from accounts.passwords import password_proof, with_current_password
from core.rest.snapshots import one_snapshot
from projects.models import CalendarToken, Task

BACK, AHEAD = timedelta(days=31), timedelta(days=731)
MAX_TASKS = 2_000  # events


def new_token(*, user: Any) -> tuple[CalendarToken, str]:
    """Create the user's token and return it with its secret, which cannot be shown again.

    The previous token is revoked.
    """
    secret = secrets.token_urlsafe(32)
    token, _ = CalendarToken.objects.update_or_create(
        user=user,
        defaults={
            "key_hash": _hash(secret),
            "created_at": timezone.now(),
            "last_used_at": None,
            "password_proof": password_proof(user),
        },
    )
    return token, secret


def revoke_token(*, user: Any) -> bool:
    """Revoke the user's token. Return whether there was one."""
    return bool(CalendarToken.objects.filter(user=user).delete()[0])


def owner_of(secret: str) -> Any | None:
    """Return the feed's owner, or None if the token is unknown or its owner may no longer view tasks."""
    found = with_current_password(CalendarToken.objects.filter(key_hash=_hash(secret)))
    token = found.select_related("user").first()
    if token is None or not token.user.has_perm("projects.view_task"):
        return None
    if use_is_worth_noting(token.last_used_at):
        CalendarToken.objects.filter(pk=token.pk).update(last_used_at=timezone.now())
    return token.user


def feed(user: Any, *, only_mine: bool = False) -> str:
    """Return the calendar text: open tasks due from 31 days ago to 731 days ahead, earliest first.

    If there are more than MAX_TASKS, a last event gives the number of tasks left out.
    """
    now = timezone.now()
    tasks = Task.objects.open().filter(due_date__range=(now - BACK, now + AHEAD)).select_related("project")
    if only_mine:
        tasks = tasks.filter(Q(assignee=user) | Q(assignee=None, project__owner=user))
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Opsroom//Tasks//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"]
    lines += ["X-WR-CALNAME:Opsroom", "REFRESH-INTERVAL;VALUE=DURATION:PT15M", "X-PUBLISHED-TTL:PT15M"]
    with one_snapshot():
        found = list(tasks.order_by("due_date", "id")[: MAX_TASKS + 1])
        left_out = tasks.count() - MAX_TASKS if len(found) > MAX_TASKS else 0
    for task in found[:MAX_TASKS]:
        lines += _event(task)
    if len(found) > MAX_TASKS:
        lines += _rest(found[MAX_TASKS], left_out, now)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _event(task: Task) -> list[str]:
    assert task.due_date is not None  # noqa: S101  the query filters by due_date
    described = [f"DESCRIPTION:{_escaped(task.description)}"] if task.description else []
    return [
        "BEGIN:VEVENT",
        f"UID:task-{task.pk}@opsroom",
        f"DTSTAMP:{_utc(task.updated_at)}",
        f"LAST-MODIFIED:{_utc(task.updated_at)}",
        f"DTSTART:{_utc(task.due_date)}",
        f"SUMMARY:{_escaped(task.title)}",
        *described,
        f"CATEGORIES:{_escaped(task.project.name)}",
        f"PRIORITY:{ {'high': 1, 'normal': 5, 'low': 9}[task.priority] }",
        "TRANSP:TRANSPARENT",  # a due date does not make the person busy
        "END:VEVENT",
    ]


def _rest(first: Task, count: int, now: datetime) -> list[str]:
    """Return one event in place of the tasks left out, so that the time after it does not look free."""
    assert first.due_date is not None  # noqa: S101  the query filters by due_date
    return [
        "BEGIN:VEVENT",
        "UID:more@opsroom",
        f"DTSTAMP:{_utc(now)}",
        f"DTSTART:{_utc(first.due_date)}",
        f"SUMMARY:{_escaped(f'{count:,} more due after this: see Opsroom')}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    """Escape a text as in RFC 5545, 3.3.11. Other control characters are not allowed there and are removed."""
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    text = text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")
    return "".join(character for character in text if character == "\t" or (character >= " " and character != "\x7f"))


def _folded(line: str) -> Iterator[str]:
    """Fold a line as in RFC 5545, 3.1: at most 75 octets per line, never cut within a character."""
    part, size = "", 0
    for character in line:
        width = len(character.encode())
        if size + width > 75:
            yield part
            part, size = " ", 1
        part, size = part + character, size + width
    yield part


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
