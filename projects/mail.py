"""Mail as text and HTML in one: from a template each, with an id of its own, so that a doubled one can be told."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

LEASE_SECONDS = 300  # longer than any mail takes: a dozen answers of a mail server, EMAIL_TIMEOUT each


def send(*, to: list[str], subject: str, template: str, context: dict[str, Any], identity: str) -> None:
    """Send one mail, and return when the server has taken it. Raises OSError, as SMTP's errors are, where it has not.

    `template` is a name under projects/mail/. `identity` is what the mail is, the same for a repetition: it becomes
    the Message-ID, by which mail programs put two copies together.
    """
    context = {**context, "house": settings.PUBLIC_URL}
    mail = EmailMultiAlternatives(
        subject=" ".join(subject.split()),  # a title may hold line ends, a header may not
        body=render_to_string(f"projects/mail/{template}.txt", context),
        to=to,
        headers={"Message-ID": f"<{identity}@{urlsplit(settings.PUBLIC_URL).hostname or 'opsroom'}>"},
    )
    mail.attach_alternative(render_to_string(f"projects/mail/{template}.html", context), "text/html")
    mail.send()
