"""A mail server that speaks SMTP on a real socket and stores the mails it receives."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller

from config.tests.ports import free_port


class Mailbox:
    """The received mails, in order. While `refuse` is set, the server refuses every mail with that reply.

    `closed` maps refused addresses to their replies. The server stores a mail before it replies. While `is_silent`
    returns true for a mail, it does not reply, so the sender waits.
    """

    port: int

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = ""
        self.closed: dict[str, str] = {}
        self.is_silent: Callable[[EmailMessage], bool] = lambda mail: False

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options) -> str:
        if address in self.closed:
            return self.closed[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        if self.refuse:
            return self.refuse
        mail = message_from_bytes(envelope.content, policy=policy.default)
        mail["X-To"] = ", ".join(envelope.rcpt_tos)
        self.mails.append(mail)
        while self.is_silent(mail):  # noqa: ASYNC110 - a condition of another thread
            await asyncio.sleep(0.01)
        return "250 OK"

    @property
    def recipients(self) -> list[str]:
        return [mail["X-To"] for mail in self.mails]


@contextmanager
def running() -> Iterator[Mailbox]:
    """Run the server and yield its mailbox, whose `port` it listens on."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), ready_timeout=10)
    controller.start()
    mailbox.port = controller.server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        controller.stop()


@contextmanager
def serving(settings) -> Iterator[Mailbox]:
    """Run the server and configure Django's mail settings for it."""
    with running() as mailbox:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_TIMEOUT = 5
        yield mailbox
