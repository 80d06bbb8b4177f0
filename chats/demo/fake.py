"""Fake chats and messages by COPY: a million in seconds, for demos, tests and load tests."""

import io
import os
from collections.abc import Callable

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from chats.models import Chat

BATCH = 50_000
DEMO_CHATS = 1_000
_TEXTS = [
    "Your order is on its way.",
    "Thanks for your feedback!",
    "Your parcel has arrived at the shop.",
    "We have saved your settings.",
    "A reply from support is waiting for you.",
]
_ADD_MESSAGES = """
    INSERT INTO chats_message (chat_id, own_text, created_at)
    SELECT chat.id, (%(texts)s::text[])[1 + (chat.id + number) %% %(kinds)s], now() - number * interval '7 hours'
    FROM (SELECT id FROM chats_chat ORDER BY id DESC LIMIT %(chats)s) AS chat,
         generate_series(%(each)s, 1, -1) AS number
    ORDER BY number DESC
"""


def create_demo_chats() -> None:
    """Create the chats of a new local instance, if there are none."""
    if not Chat.objects.exists():
        create_fake_chats(DEMO_CHATS, messages=3)


def create_fake_chats(total: int, messages: int = 0, progress: Callable[[int], object] | None = None) -> None:
    """Create `total` chats with random UUIDs and `messages` messages each, in one transaction per batch.

    A single transaction would block every broadcast that freezes its audience (chats/broadcasts/fanout.py). `progress`
    is called after every batch with its number of chats.
    """
    for start in range(0, total, BATCH):
        number = min(BATCH, total - start)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.copy_expert("COPY chats_chat (user_uuid) FROM STDIN", _random_uuids(number))
            if messages:
                _add_messages(cursor, number, messages)
        if progress:
            progress(number)


def _random_uuids(number: int) -> io.BytesIO:
    """Return `number` random UUIDs of version 4 in hexadecimal, one per line."""
    digits = os.urandom(16 * number).hex()
    lines = (digits[start : start + 32] for start in range(0, 32 * number, 32))
    return io.BytesIO("".join(f"{line[:12]}4{line[13:16]}8{line[17:]}\n" for line in lines).encode())


def _add_messages(cursor: CursorWrapper, chats: int, messages: int) -> None:
    cursor.execute(_ADD_MESSAGES, {"texts": _TEXTS, "kinds": len(_TEXTS), "chats": chats, "each": messages})
