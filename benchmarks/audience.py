"""A million chats for the benchmarks that need an audience."""

from __future__ import annotations

from benchmarks.instance import sql
from benchmarks.size import sized

CHATS = sized(1_000_000, 10_000)


def fill() -> None:
    """Create exactly CHATS chats, without messages, broadcasts or banners."""
    from chats.demo.fake import create_fake_chats

    clear()
    create_fake_chats(CHATS)
    sql("VACUUM (ANALYZE) chats_chat", "CHECKPOINT")


def clear() -> None:
    # CASCADE, because tables of other apps refer to these, such as notifications.
    sql("TRUNCATE chats_message, chats_chat, chats_broadcast, chats_banner CASCADE")


def remove_messages() -> None:
    """Empty the message tables, vacuum and checkpoint, so that every round starts in the same state."""
    sql(
        "TRUNCATE chats_message, chats_chunk CASCADE",
        "VACUUM (ANALYZE) chats_chat",
        "VACUUM chats_broadcast, chats_chunk, chats_message",
        "CHECKPOINT",
    )
