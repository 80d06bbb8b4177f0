"""Why something that was sent as an event is none: a code, a place in it, and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypedDict

TEXT_MOST = 100  # characters in a session id, a category, a name
MOST = 10  # reasons of one event
LONGEST_POINTER = 300  # characters; as RejectedEvent.pointer
LONGEST_MESSAGE = 300

# What Postgres cannot hold in a text: NUL, and halves of a surrogate pair. A pointer may pass by a member so named.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Reason(TypedDict):
    """`code` is the JSON Schema keyword that was broken, or one of our own; `pointer` is RFC 6901, into the event."""

    code: str
    pointer: str
    message: str


def reason(code: str, path: Iterable[str | int], message: str) -> Reason:
    """Return a reason that any database can hold, and that is short, whatever was sent."""
    return {
        "code": code[:50],
        "pointer": storable(pointer(path))[:LONGEST_POINTER],
        "message": storable(message)[:LONGEST_MESSAGE],
    }


def pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def storable(text: str) -> str:
    """Return the text with U+FFFD in the place of what Postgres cannot hold."""
    return _UNSTORABLE.sub("\ufffd", text)
