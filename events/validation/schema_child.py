"""A child process that compiles a schema nobody has published yet, and judges payloads by it.

A validator is native code that runs without a break and takes the memory it wants. The cost of a schema is bounded
before (events/validation/schema_cost.py); the child bounds what that bound may have missed: its limits of CPU time and
memory are the kernel's, and a timer ends it. What it does is never done in the web process.

One line of JSON each way: the schema and its verdict, then lists of payloads and lists of their reasons.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.busy import Busy
from events.validation.budget import UNLIMITED, Budget
from events.validation.errors import ValidationReason
from events.validation.json_numbers import read_stored
from events.validation.schema_check import check, check_shape
from events.validation.schema_error import SchemaError

COMPILE_SECONDS = 2  # CPU time to check and compile a schema
MAX_SECONDS = 17  # CPU time in all, for those that judge payloads after it
MEMORY = 1024**3  # bytes of address space
WALL_SECONDS = 15.0  # from start to end
CHILDREN = 2  # at a time in this process
WAIT_SECONDS = 5.0  # for one of them to end
REMEMBERED = 200  # schemas that passed, so that checking and then publishing one is one child

WORK = "events.validation.schema_child"
PROJECT = Path(__file__).resolve().parents[2]
TOO_MUCH = (
    f"Checking this schema takes more than {COMPILE_SECONDS} seconds or {MEMORY // 1024**3} GiB of memory. "
    "Make it simpler."
)
BUSY = "Several other schemas are being checked. Try again in a moment."

_places = threading.BoundedSemaphore(CHILDREN)
_passed: OrderedDict[str, None] = OrderedDict()


class Untrusted:
    """A schema in a child process: judges payloads like events.validation.schemas.Schema."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def judge(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        return self.judge_all([data])[0]

    def judge_all(self, payloads: Sequence[bytes]) -> list[list[ValidationReason]]:
        """Return the reasons of each of these JSON texts. Raises SchemaError where the child was ended."""
        found: list[list[ValidationReason]] = self.ask([payload.decode() for payload in payloads])
        return found

    def ask(self, question: Any) -> Any:
        questions, answers = self._process.stdin, self._process.stdout
        answer = b""
        if questions is not None and answers is not None:
            with contextlib.suppress(BrokenPipeError):
                questions.write(json.dumps(question).encode() + b"\n")
                questions.flush()
                answer = answers.readline()
        if not answer.endswith(b"\n"):
            raise SchemaError(TOO_MUCH)
        return json.loads(answer)


@contextlib.contextmanager
def untrusted(schema: Any, seconds: float = WALL_SECONDS) -> Iterator[Untrusted]:
    """Yield a schema that was checked and compiled in a child process, which ends with the context.

    Raises SchemaError for what is not a valid schema, costs too much, or makes the child exceed its limits; Busy.
    """
    shape = check_shape(schema)
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise Busy(BUSY)
    process = subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-m", WORK],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=PROJECT,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True,
    )  # fmt: skip
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        child = Untrusted(process)
        if verdict := child.ask(shape):
            raise SchemaError(verdict["message"], verdict["pointer"])
        yield child
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
        _places.release()


def check_schema(schema: Any) -> None:
    """Raise SchemaError unless this may be published, and Busy where too many others are being checked."""
    name = hashlib.sha256(json.dumps(check_shape(schema), sort_keys=True).encode()).hexdigest()
    if name in _passed:
        return
    with untrusted(schema):
        pass
    _passed[name] = None
    while len(_passed) > REMEMBERED:
        with contextlib.suppress(KeyError):
            _passed.popitem(last=False)


def main() -> None:
    """The child: reads lines until there are no more."""
    limit()
    lines = iter(sys.stdin.buffer)
    try:
        schema = check(json.loads(next(lines)))
    except SchemaError as error:
        _answer({"message": error.message, "pointer": error.pointer})
        return
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    _answer(None)
    for line in lines:
        _answer([schema.judge(read_stored(text), text.encode(), UNLIMITED) for text in json.loads(line)])


def limit() -> None:
    """Bound what this process may take."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (COMPILE_SECONDS, MAX_SECONDS))
    os.nice(5)


def _answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
