"""Admin page with the mails of a local instance. Its mail backend writes each mail to a file instead of sending it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

FILES = "django.core.mail.backends.filebased.EmailBackend"
MAX_FILES, MAX_MAILS = 100, 100
MAX_MAIL_BYTES = 1024 * 1024  # per file
RULE = b"\n" + b"-" * 79 + b"\n"  # the separator that the backend writes after every mail


@dataclass(frozen=True)
class Mail:
    subject: str
    to: str
    at: datetime | None
    text: str


def are_kept() -> bool:
    """Return whether this instance writes its mails to files."""
    return settings.EMAIL_BACKEND == FILES and bool(_folder())


def may_read(request: HttpRequest) -> bool:
    """Return whether the user may read them: superusers and users who may change reminders."""
    return are_kept() and (request.user.is_superuser or request.user.has_perm("projects.change_reminder"))


def mails_page(request: HttpRequest) -> HttpResponse:
    """Show the newest mails with their text."""
    if not are_kept():
        raise Http404
    if not may_read(request):
        raise PermissionDenied
    context = {**admin.site.each_context(request), "title": "Outgoing e-mail", "mails": newest_mails()}
    return render(request, "projects/mails.html", context)


def newest_mails() -> list[Mail]:
    """Return the newest mails, newest first. A file that is deleted meanwhile is left out."""
    files = sorted(Path(_folder()).glob("*.log"), key=_age, reverse=True)[:MAX_FILES]
    found = [mail for file in files for mail in _mails_in(file)]
    found.sort(key=lambda mail: mail.at or datetime.min.replace(tzinfo=UTC), reverse=True)
    return found[:MAX_MAILS]


def _folder() -> str:
    return str(getattr(settings, "EMAIL_FILE_PATH", None) or "")


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _mails_in(file: Path) -> Iterator[Mail]:
    try:
        with file.open("rb") as opened:
            written = opened.read(MAX_MAIL_BYTES)
    except OSError:
        return
    for raw in written.replace(b"\r\n", b"\n").split(RULE):
        if raw.strip():
            yield _mail(raw.lstrip(b"\n"))


def _mail(raw: bytes) -> Mail:
    message = message_from_bytes(raw, policy=policy.default)
    return Mail(str(message["Subject"] or ""), str(message["To"] or ""), _date(message), _text(message))


def _date(message: EmailMessage) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(message["Date"]))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(message: EmailMessage) -> str:
    body = message.get_body(preferencelist=("plain", "html"))
    try:
        return str(body.get_content()).strip() if body else ""
    except (LookupError, UnicodeError):
        return "This mail’s text cannot be read."
