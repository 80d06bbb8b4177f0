"""Validation errors ("reasons") of events: a code, a place in the event, and a message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NotRequired, TypedDict

MAX_TEXT_LENGTH = 100  # characters in a session id, a category, a name
MAX_ERRORS = 10  # validation errors listed for one event
MAX_POINTER_LENGTH = 300  # characters; the same as the length of RejectedEvent.pointer
MAX_MESSAGE_LENGTH = 300
ANY = "*"  # in a place: any index or any name

# Characters that Postgres cannot store in a text: NUL and halves of surrogate pairs. A pointer can contain them if a
# member of the event has such a name.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ValidationReason(TypedDict):
    """One validation error.

    `code` is the JSON Schema keyword that failed, or a code of Opsroom. `pointer` is a JSON pointer (RFC 6901) into the
    event. `place` is the pointer with `*` in place of the parts that vary between events: indexes of lists, and names
    that the schema does not define. It is present only if it differs from the pointer.
    """

    code: str
    pointer: str
    message: str
    place: NotRequired[str]


def reason(
    code: str, path: Iterable[str | int], message: str, place: Iterable[str | int] | None = None
) -> ValidationReason:
    """Return a validation error whose texts are short and can be stored in Postgres, whatever was sent.

    `path` and `place` are the steps of the pointer and of the place; without a place, indexes in the path become `*`.
    """
    path = list(path)
    exact = _short(path)
    found: ValidationReason = {"code": code[:50], "pointer": exact, "message": storable(message)[:MAX_MESSAGE_LENGTH]}
    general = _short(ANY if isinstance(step, int) else step for step in (path if place is None else place))
    return found if general == exact else {**found, "place": general}


def place_of(found: ValidationReason) -> str:
    """Return the place by which rejected events are grouped. The same error at different indexes is one group."""
    return found.get("place", found["pointer"])


def _short(path: Iterable[str | int]) -> str:
    return storable(pointer(path))[:MAX_POINTER_LENGTH]


def pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def storable(text: str) -> str:
    """Return the text with U+FFFD in place of the characters that Postgres cannot store."""
    return _UNSTORABLE.sub("\ufffd", text)
