"""Validation of request bodies outside the event loop: in a thread, or in a child process if it would take long.

A call that parses or validates holds the interpreter's lock until it returns, so it blocks the event loop and every
other request. A body with few values is validated in a thread of this process. A body with many values, or with items
that take much work, is validated in a child process. That process has a lower priority and limits of time and memory,
so such a body does not slow down the requests of other senders.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from events.ingest.check_child import BUDGET_SPENT, FIELDS, TOO_MANY_ITEMS, read_frame, write_frame
from events.ingest.registry import RegistrySnapshot
from events.validation.budget import Budget, BudgetSpent
from events.validation.event import Item, read_items
from events.validation.parser import Body, TooManyItems
from events.validation.rules import Rules

log = structlog.get_logger(__name__)

MAX_VALUES = 20_000  # values in a body that a thread of this process reads; 500 typical events have about 5,000
MAX_SUSPECT_VALUES = 2_000  # the same limit for a body that must be read value by value
TIMEOUT = 4.0  # for one body; then the child process is killed
PROJECT = Path(__file__).resolve().parents[2]


class TooHeavy(Exception):
    """The body takes too much work for a thread and must be validated in the child process."""


def read_in_thread(content: bytes, rules: Rules) -> list[Item]:
    """Return the validated items of a body. Runs in a thread of this process. Raises TooHeavy, TooManyItems."""
    body = Body(content)
    values = body.values()
    if values > MAX_VALUES or (values > MAX_SUSPECT_VALUES and body.is_suspect()):
        raise TooHeavy
    try:
        return read_items(body, rules._replace(budget=Budget.of_thread()))
    except BudgetSpent:
        raise TooHeavy from None


class CheckProcess:
    """The child process. It is started on first use, and again after it has ended. One thread at a time uses it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._fingerprint = ""  # of the event types that the child process has

    def read(self, content: bytes, rules: Rules, known: RegistrySnapshot) -> list[Item]:
        """Return the validated items of a body.

        Raises TooManyItems. Raises BudgetSpent if validation takes more work, time or memory than one request may use.
        """
        process = self._running()
        timer = threading.Timer(TIMEOUT, process.kill)
        timer.start()
        try:
            response = self._send(process, content, rules, known)
        except (EOFError, OSError):
            log.warning("events_check_process_ended")
            self.close()
            raise BudgetSpent from None
        finally:
            timer.cancel()
        if response == TOO_MANY_ITEMS:
            raise TooManyItems
        if response == BUDGET_SPENT:
            raise BudgetSpent
        return _items(response, content, rules.application.id)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._fingerprint = ""
            self._process = subprocess.Popen(
                [sys.executable, "-m", "events.ingest.check_child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=PROJECT,
                env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True,
            )  # fmt: skip
        return self._process

    def _send(self, process: subprocess.Popen[bytes], content: bytes, rules: Rules, known: RegistrySnapshot) -> Any:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        is_known = known.fingerprint == self._fingerprint
        request = {
            "types": None if is_known else [(*type, text) for type, text in known.texts.items()],
            "application": rules.application,
            "now": rules.now,
            "bounds": [(bound.days, bound.seconds) for bound in rules.bounds],
        }
        write_frame(process.stdin, orjson.dumps(request))
        write_frame(process.stdin, content)
        response = orjson.loads(read_frame(process.stdout))
        self._fingerprint = known.fingerprint
        return response

    def close(self) -> None:
        """Kill the child process and wait until it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError, ValueError):
                process.communicate()


def _items(response: Any, content: bytes, application: int) -> list[Item]:
    body = Body(content)
    found = []
    for place, (*values, data, _, _) in enumerate(response):
        members = dict(zip(FIELDS, values, strict=True))
        members["timestamp"] = datetime.fromisoformat(members["timestamp"])
        found.append(Item(application, body, place, data=data.encode(), **members))
    if any(item.reasons for item in found):
        body.raws = [content[start:end] for *_, start, end in response]
    return found
