"""Why something that was sent as an event is none: a code, a place in it, and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NotRequired, TypedDict

MAX_TEXT_LENGTH = 100  # characters in a session id, a category, a name
MAX_ERRORS = 10  # reasons of one event
MAX_POINTER_LENGTH = 300  # characters; as RejectedEvent.pointer
MAX_MESSAGE_LENGTH = 300
ANY = "*"  # in a place: any index, any name

# What Postgres cannot hold in a text: NUL, and halves of a surrogate pair. A pointer may pass by a member so named.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ValidationReason(TypedDict):
    """`code` is the JSON Schema keyword that was broken, or one of our own; `pointer` is RFC 6901, into the event.

    `place` is the pointer with `*` for what differs from event to event: the index in a list, and a name that the
    schema leaves open. It is there where it differs from the pointer.
    """

    code: str
    pointer: str
    message: str
    place: NotRequired[str]


def reason(
    code: str, path: Iterable[str | int], message: str, place: Iterable[str | int] | None = None
) -> ValidationReason:
    """Return a reason that any database can hold, and that is short, whatever was sent."""
    path = list(path)
    exact = _short(path)
    found: ValidationReason = {"code": code[:50], "pointer": exact, "message": storable(message)[:MAX_MESSAGE_LENGTH]}
    general = _short(ANY if isinstance(step, int) else step for step in (path if place is None else place))
    return found if general == exact else {**found, "place": general}


def place_of(found: ValidationReason) -> str:
    """Return the place by which rejected events are grouped: one mistake is one group, wherever in a list it is."""
    return found.get("place", found["pointer"])


def _short(path: Iterable[str | int]) -> str:
    return storable(pointer(path))[:MAX_POINTER_LENGTH]


def pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def storable(text: str) -> str:
    """Return the text with U+FFFD in the place of what Postgres cannot hold."""
    return _UNSTORABLE.sub("\ufffd", text)
