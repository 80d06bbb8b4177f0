"""A child process that compiles an unpublished schema and validates payloads by it.

A validator is native code: it cannot be interrupted, and its memory is not limited. The cost of a schema is limited
beforehand (events/validation/schema_cost.py). The child process guards against what that limit may miss: the kernel
limits its CPU time and memory, and a timer kills it. The web process never does this work itself.

The protocol is one line of JSON per message: first the schema and the result of its check, then lists of payloads and
lists of their validation errors.
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
MAX_SECONDS = 17  # CPU time in total, including the validation of payloads after the check
MEMORY = 1024**3  # limit of the address space, in bytes
WALL_SECONDS = 15.0  # from start to end
CHILDREN = 2  # concurrent child processes of this process
WAIT_SECONDS = 5.0  # to wait until one of them has ended
REMEMBERED = 200  # checked schemas that are cached, so that checking and then publishing one starts one child only

WORK = "events.validation.schema_child"
PROJECT = Path(__file__).resolve().parents[2]
TOO_MUCH = (
    f"Checking this schema takes more than {COMPILE_SECONDS} seconds or {MEMORY // 1024**3} GiB of memory. "
    "Make it simpler."
)
BUSY = "Several other schemas are being checked. Try again in a moment."

_places = threading.BoundedSemaphore(CHILDREN)
_passed: OrderedDict[str, None] = OrderedDict()


class SchemaProcess:
    """A schema in a child process. It validates payloads like events.validation.schemas.Schema."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def validate(self, payload: Any, data: bytes, allowance: Budget) -> list[ValidationReason]:
        return self.validate_all([data])[0]

    def validate_all(self, payloads: Sequence[bytes]) -> list[list[ValidationReason]]:
        """Return the validation errors of each of these JSON texts. Raises SchemaError if the child was killed."""
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
def untrusted(schema: Any, seconds: float = WALL_SECONDS) -> Iterator[SchemaProcess]:
    """Yield a schema that was checked and compiled in a child process, which is killed at the end of the context.

    Raises SchemaError if the schema is invalid, costs too much, or makes the child exceed its limits. Raises Busy if
    CHILDREN others are running.
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
        child = SchemaProcess(process)
        if verdict := child.ask(shape):
            raise SchemaError(verdict["message"], verdict["pointer"])
        yield child
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
        _places.release()


def check_schema(schema: Any) -> None:
    """Raise SchemaError unless this schema may be published. Raise Busy if too many others are being checked."""
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
    """Run the child process: answer lines until standard input ends."""
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
        _answer([schema.validate(read_stored(text), text.encode(), UNLIMITED) for text in json.loads(line)])


def limit() -> None:
    """Limit the memory, CPU time and priority of this process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (COMPILE_SECONDS, MAX_SECONDS))
    os.nice(5)


def _answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
