"""Parser of a pasted or uploaded list of users: its UUIDs and its invalid lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

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


def _is_header(line: str) -> bool:
    return any(cell.strip(" \"'").lower() in _HEADERS for cell in re.split(r"[,;\t]", line))
