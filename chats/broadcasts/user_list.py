"""Parser of a pasted or uploaded list of users: its UUIDs, its invalid lines, and how many of the users have a chat."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

MAX_LISTED_USERS = 200_000  # users per broadcast
MAX_SHOWN = 5  # invalid lines shown as examples
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_HEADERS = {"uuid", "user_uuid", "user", "user_id", "id"}


@dataclass(frozen=True)
class Listed:
    """The result of parsing a list: its distinct UUIDs in the order given, and the lines without a UUID."""

    user_uuids: list[UUID]
    repeated: int
    unusable: int
    examples: list[str]

    @property
    def is_too_long(self) -> bool:
        return len(self.user_uuids) > MAX_LISTED_USERS


def read_list(text: str) -> Listed:
    """Parse UUIDs from text or CSV, one or several per line. Other text in a line with a UUID is ignored.

    A line without a UUID counts as unusable, except for empty lines and a header in the first line.
    """
    found: dict[UUID, None] = {}
    examples: list[str] = []
    total = unusable = 0
    for number, line in enumerate(text.lstrip("\ufeff").splitlines()):
        uuids = [UUID(match) for match in _UUID.findall(line)]
        total += len(uuids)
        found.update(dict.fromkeys(uuids))
        if uuids or not line.strip(" \t,;\"'") or (number == 0 and _is_header(line)):
            continue
        unusable += 1
        if len(examples) < MAX_SHOWN:
            examples.append(line.strip()[:60])
    return Listed(list(found), total - len(found), unusable, examples)


def how_many_have_a_chat(user_uuids: Iterable[UUID]) -> int:
    """Count the users who have a chat, by the unique index.

    The UUIDs are one array parameter, not 200,000 parameters.
    """
    listed = [str(uuid) for uuid in user_uuids]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chats_chat WHERE user_uuid = ANY(%s::uuid[])", [listed])
        return cursor.fetchone()[0]


def _is_header(line: str) -> bool:
    return any(cell.strip(" \"'").lower() in _HEADERS for cell in re.split(r"[,;\t]", line))
