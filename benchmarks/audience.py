"""A million chats for the benchmarks that need an audience."""

from __future__ import annotations

from benchmarks.instance import sql
from benchmarks.size import sized

CHATS = sized(1_000_000, 10_000)


def fill() -> None:
    """Leave exactly CHATS chats and no messages, broadcasts or banners."""
    from chats.demo.fake import create_fake_chats

    clear()
    create_fake_chats(CHATS)
    sql("VACUUM (ANALYZE) chats_chat", "CHECKPOINT")


def clear() -> None:
    # CASCADE: tables of other apps refer to these, such as users' notifications.
    sql("TRUNCATE chats_chat, chats_broadcast, chats_banner CASCADE")


def remove_messages() -> None:
    """Empty tables, a fresh checkpoint and fresh statistics: every round starts from the same."""
    sql(
        "TRUNCATE chats_message, chats_chunk CASCADE",
        "VACUUM (ANALYZE) chats_chat",
        "VACUUM chats_broadcast, chats_chunk, chats_message",
        "CHECKPOINT",
    )
