"""The kinds of audience of a broadcast: all chats, or listed users.

To add a kind: write its class, add it to KINDS, make the migration of the choices, and offer it in the compose form
(chats/admin/compose_form.py) and in the REST field (chats/serializers.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.core.cache import cache
from django.db import connection

from chats.models.chat import Chat


class Audience(ABC):
    """Who gets a broadcast: given when it is composed, or read from a stored one by `of`. As text: "all chats"."""

    kind: ClassVar[str]  # as stored in Broadcast.audience
    label: ClassVar[str]
    skip_reason: ClassVar[str]  # why a member got no message
    size: int | None = None  # the number of members, if it is a list
    is_growing: ClassVar[bool] = False  # whether members can be added until it is frozen
    # SQL of the members' ids, of which a frozen audience has ranges, and of the chats in the range first to last.
    members_sql: ClassVar[str]
    chats_sql: ClassVar[str]

    @classmethod
    def of(cls, broadcast: Any) -> Audience:
        return cls()

    @property
    def deletion_note(self) -> str:
        """What is deleted with the broadcast, as a sentence."""
        return ""

    def store(self, broadcast: Any) -> None:  # noqa: B027  # most kinds need nothing more
        """Store with a new broadcast what its row does not contain."""

    @abstractmethod
    def count_chats(self) -> int:
        """Return the exact number of chats that would get a message now."""


class AllChats(Audience):
    """Every chat that exists when sending starts."""

    kind, label = "all", "all chats"
    skip_reason = "chat deleted during the send"
    is_growing = True
    members_sql = "SELECT id FROM chats_chat WHERE id <= %(bound)s"
    chats_sql = "SELECT id FROM chats_chat WHERE id BETWEEN %(first)s AND %(last)s"

    def __str__(self) -> str:
        return self.label

    def count_chats(self) -> int:
        return Chat.objects.count()


class ListedUsers(Audience):
    """The chats of given users, each once. Users without a chat are skipped."""

    kind, label = "listed", "listed users"
    MAX_USERS = 200_000
    skip_reason = "no chat with this UUID"
    members_sql = "SELECT id FROM chats_recipient WHERE broadcast_id = %(broadcast)s"
    chats_sql = """
        SELECT chats_chat.id FROM chats_recipient JOIN chats_chat USING (user_uuid)
        WHERE broadcast_id = %(broadcast)s AND chats_recipient.id BETWEEN %(first)s AND %(last)s
    """

    def __init__(self, user_uuids: Iterable[UUID], size: int | None = None) -> None:
        """`size`: their number, if `user_uuids` is a queryset that is better not counted."""
        self.user_uuids = user_uuids if size is not None else list(dict.fromkeys(user_uuids))
        self.size = len(self.user_uuids) if size is None else size  # type: ignore[arg-type]

    @classmethod
    def of(cls, broadcast: Any) -> ListedUsers:
        """A list never changes, so it is counted once."""
        size = broadcast.audience_size
        if size is None:
            size = cache.get_or_set(f"chats.listed.{broadcast.pk}", broadcast.recipients.count, 24 * 3600)
        return cls(broadcast.recipients.values_list("user_uuid", flat=True), size)

    def __str__(self) -> str:
        return f"{self.size:,} listed user{'' if self.size == 1 else 's'}"

    @property
    def deletion_note(self) -> str:
        return f"Its list of {self.size:,} users is deleted, too."

    def store(self, broadcast: Any) -> None:
        """Insert the users in the order given, in one statement."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO chats_recipient (broadcast_id, user_uuid) SELECT %s, unnest(%s::uuid[])",
                [broadcast.pk, self._array()],
            )

    def count_chats(self) -> int:
        """By the unique index. The UUIDs are one array parameter, not 200,000 parameters."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM chats_chat WHERE user_uuid = ANY(%s::uuid[])", [self._array()])
            return cursor.fetchone()[0]

    def _array(self) -> list[str]:
        return [str(uuid) for uuid in self.user_uuids]


KINDS: dict[str, type[Audience]] = {audience.kind: audience for audience in (AllChats, ListedUsers)}
ALL_CHATS = AllChats()
