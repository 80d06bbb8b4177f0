"""Mail as text and HTML in one: from a template each, with an id of its own, so that a doubled one can be told."""

from __future__ import annotations

from datetime import timedelta
from email.charset import QP, Charset
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

SEVEN_BIT = Charset("utf-8")  # for servers without 8BITMIME; it also keeps lines within SMTP's limit
SEVEN_BIT.body_encoding = QP
LEASE_SECONDS = 300  # longer than any mail takes: a dozen answers of a mail server, EMAIL_TIMEOUT each
# Until a mail is tried again: after the first failure, the second … An hour without a mail server costs nobody a mail.
AGAIN = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]


class MailRefused(Exception):
    """This mail was not taken, and others may be. `for_good`: nor would it be later."""

    def __init__(self, why: Exception, *, for_good: bool = False) -> None:
        super().__init__(f"{type(why).__name__}: {why}")
        self.for_good = for_good


def send(*, to: list[str], subject: str, template: str, context: dict[str, Any], identity: str) -> None:
    """Send one mail, and return when the server has taken it.

    Raises OSError, as SMTP's errors are, where no mail would be taken now, and MailRefused where it is this one's
    fault.

    `template` is a name under projects/mail/. `identity` is what the mail is, the same for a repetition: it becomes
    the Message-ID, by which mail programs put two copies together.
    """
    context = {**context, "house": settings.PUBLIC_URL}
    mail = EmailMultiAlternatives(
        subject=" ".join(subject.split()),  # a title may hold line ends, a header may not
        body=render_to_string(f"projects/mail/{template}.txt", context),
        to=to,
        headers={
            "Message-ID": f"<{identity}@{urlsplit(settings.PUBLIC_URL).hostname or 'opsroom'}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office reply is wanted
        },
    )
    mail.encoding = SEVEN_BIT
    mail.attach_alternative(render_to_string(f"projects/mail/{template}.html", context), "text/html")
    try:
        mail.send()
    except (ValueError, TypeError) as error:  # an address that is none; `<>` is the latter
        raise MailRefused(error) from error
    except SMTPRecipientsRefused as error:
        raise MailRefused(error, for_good=all(code >= 500 for code, _ in error.recipients.values())) from error
    except SMTPDataError as error:
        if error.smtp_code < 500:
            raise  # too busy, too full: so it is for the next one
        raise MailRefused(error, for_good=True) from error
