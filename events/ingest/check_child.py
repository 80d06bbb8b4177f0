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
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    types: dict[tuple[str, str], Checker] = {}
    while True:
        try:
            asked, content = orjson.loads(read_frame(questions)), read_frame(questions)
        except EOFError:
            return
        if asked["types"] is not None:
            types = {(category, name): stored(text) for category, name, text in asked["types"]}
        write_frame(answers, orjson.dumps(_answer(asked, content, types)))


def _answer(asked: dict[str, Any], content: bytes, types: dict[tuple[str, str], Checker]) -> Any:
    bounds = TimestampBounds(*(timedelta(*bound) for bound in asked["bounds"]))
    application, now = ApplicationSettings(**asked["application"]), datetime.fromisoformat(asked["now"])
    rules = Rules(application, types, now, bounds, Budget.of_request())
    try:
        return _described(read(content, rules), content)
    except TooManyItems:
        return TOO_MANY_ITEMS
    except BudgetSpent:
        return BUDGET_SPENT


def _described(items: Sequence[Item], content: bytes) -> list[Any]:
    end, found = 0, []
    for item in items:
        start = 0
        if any(one.reasons for one in items):
            start = content.index(item.raw, end)
            end = start + len(item.raw)
        told = (
            item.event_id,
            item.session_id,
            item.category,
            item.name,
            item.data.decode(),
            item.timestamp.isoformat(),
        )
        found.append((*told, item.reasons, start, end))
    return found


if __name__ == "__main__":
    main()
