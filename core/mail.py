"""E-mail as text and HTML, from one template each. Its Message-ID lets mail programs recognise duplicates."""

from __future__ import annotations

from datetime import timedelta
from email.charset import QP, Charset
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

SEVEN_BIT = Charset("utf-8")  # for servers without 8BITMIME; it also keeps lines within SMTP's length limit
SEVEN_BIT.body_encoding = QP
LEASE_SECONDS = 300  # longer than any sending takes: a dozen mail server responses, EMAIL_TIMEOUT each
# Delay before the retry after the first failure, the second … An hour without a mail server loses no e-mail.
AGAIN = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]


class MailRefused(Exception):
    """The server refused this e-mail, but may accept others. `for_good`: a retry would be refused too."""

    def __init__(self, why: Exception, *, for_good: bool = False) -> None:
        super().__init__(f"{type(why).__name__}: {why}")
        self.for_good = for_good


def send(*, to: list[str], subject: str, template: str, context: dict[str, Any], identity: str) -> None:
    """Send one e-mail, and return when the server has accepted it.

    Raises OSError, the base of SMTP errors, if the server accepts no e-mail now, and MailRefused if the reason is this
    e-mail.

    `template` is the name of a text and an HTML template, without its suffix. `identity` identifies the e-mail and is
    the same for a retry: it becomes the Message-ID, by which mail programs combine two copies.
    """
    context = {**context, "base_url": settings.PUBLIC_URL}
    mail = EmailMultiAlternatives(
        subject=" ".join(subject.split()),  # a title may contain line breaks, a header may not
        body=render_to_string(f"{template}.txt", context),
        to=to,
        headers={
            "Message-ID": f"<{identity}@{urlsplit(settings.PUBLIC_URL).hostname or 'opsroom'}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office reply is wanted
        },
    )
    mail.encoding = SEVEN_BIT
    mail.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    try:
        mail.send()
    except (ValueError, TypeError) as error:  # an invalid address; `<>` raises TypeError
        raise MailRefused(error) from error
    except SMTPRecipientsRefused as error:
        raise MailRefused(error, for_good=all(code >= 500 for code, _ in error.recipients.values())) from error
    except SMTPDataError as error:
        if error.smtp_code < 500:
            raise  # too busy or full: the next e-mail would be refused too
        raise MailRefused(error, for_good=True) from error
