"""Child process that validates request bodies which would block the web process's interpreter for long.
events/ingest/check_process.py starts it.

It communicates in frames on standard input and output. A frame is a length in four bytes (big-endian) and that many
bytes. A request is two frames: a JSON object with the rules and, if they have changed, the event types; then the body.
A response is one frame: the validated items as JSON. The process ends when its standard input is closed.
"""

from __future__ import annotations

import gc
import os
import resource
import struct
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Any

import orjson

from events.validation.budget import Budget, BudgetSpent
from events.validation.event import Item, read
from events.validation.parser import TooManyItems
from events.validation.rules import ApplicationSettings, Rules, TimestampBounds
from events.validation.schemas import Checker
from events.validation.stored_schemas import stored

MEMORY = 1024**3  # limit of the address space, in bytes
HEAD = struct.Struct(">I")
FIELDS = ("event_id", "session_id", "category", "name", "timestamp", "reasons")  # of an item, as JSON
TOO_MANY_ITEMS, BUDGET_SPENT = "too many items", "budget spent"


def write_frame(to: IO[bytes], content: bytes) -> None:
    to.write(HEAD.pack(len(content)))
    to.write(content)
    to.flush()


def read_frame(source: IO[bytes]) -> bytes:
    """Return the next frame. Raises EOFError if the other process has closed the pipe or ended."""
    head = source.read(HEAD.size)
    if len(head) < HEAD.size:
        raise EOFError
    (size,) = HEAD.unpack(head)
    content = source.read(size)
    if len(content) < size:
        raise EOFError
    return content


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)  # lower priority than the web process, which handles the small and quick requests
    gc.set_threshold(50_000, 10, 10)
    requests, responses = sys.stdin.buffer, sys.stdout.buffer
    types: dict[tuple[str, str], Checker] = {}
    while True:
        try:
            request, content = orjson.loads(read_frame(requests)), read_frame(requests)
        except EOFError:
            return
        if request["types"] is not None:
            types = {(category, name): stored(text) for category, name, text in request["types"]}
        write_frame(responses, orjson.dumps(_response(request, content, types)))


def _response(request: dict[str, Any], content: bytes, types: dict[tuple[str, str], Checker]) -> Any:
    bounds = TimestampBounds(*(timedelta(*bound) for bound in request["bounds"]))
    application, now = ApplicationSettings(**request["application"]), datetime.fromisoformat(request["now"])
    rules = Rules(application, types, now, bounds, Budget.of_request())
    try:
        return _as_json(read(content, rules), content)
    except TooManyItems:
        return TOO_MANY_ITEMS
    except BudgetSpent:
        return BUDGET_SPENT


def _as_json(items: Sequence[Item], content: bytes) -> list[list[Any]]:
    """Return each item as its FIELDS, its data, and, if an item is invalid, the range of its bytes in the body."""
    has_errors = any(item.reasons for item in items)
    end, found = 0, []
    for item in items:
        start = content.index(item.raw, end) if has_errors else 0
        end = start + len(item.raw) if has_errors else 0
        found.append([*(getattr(item, name) for name in FIELDS), item.data.decode(), start, end])
    return found


if __name__ == "__main__":
    main()
