"""Two functions on two connections: the first is stopped after each of its locks while the second runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from core.database import deadlocks

LOCKS = re.compile(r"FOR (NO KEY )?UPDATE|FOR KEY SHARE|^\s*(UPDATE|DELETE|INSERT|WITH)|SET CONSTRAINTS", re.IGNORECASE)
PATIENCE = 20.0  # seconds


class Run(threading.Thread):
    """Runs a function; after its lock number `stop_after` it waits for `go`."""

    def __init__(self, verb: Callable[[], Any], stop_after: int = 0) -> None:
        super().__init__(daemon=True)
        self.verb, self.stop_after, self.locks = verb, stop_after, 0
        self.stopped, self.go = threading.Event(), threading.Event()
        self.pid, self.error = 0, None

    def run(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET deadlock_timeout = '20ms'")
            self.pid = connection.connection.info.backend_pid
            with connection.execute_wrapper(self._count):
                self.verb()
        except BaseException as error:
            self.error = error
        finally:
            self.stopped.set()
            connection.close()

    def _count(self, execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if LOCKS.search(str(sql)):
            self.locks += 1
            if self.locks == self.stop_after:
                self.stopped.set()
                assert self.go.wait(PATIENCE)
        return result


def interleave(first: Callable[[], Any], second: Callable[[], Any], after: int) -> tuple[bool, list[BaseException]]:
    """Run `second` while `first` is stopped after its lock number `after`, then let `first` continue.

    Return whether `first` has that many locks, and the exceptions of both.
    """
    one, other = Run(first, after), Run(second)
    one.start()
    assert one.stopped.wait(PATIENCE)
    has_so_many = one.locks == after and one.is_alive()
    other.start()
    while other.is_alive() and not waits(other.pid):
        other.join(0.002)
    one.go.set()
    for each in (one, other):
        each.join(PATIENCE)
        assert not each.is_alive()
    return has_so_many, [each.error for each in (one, other) if each.error is not None]


def waits(pid: int) -> bool:
    """Return whether a backend waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Yield a list of the deadlocks after which functions were retried."""
    found: list[BaseException] = []
    is_deadlock = deadlocks.is_deadlock

    def record(error: BaseException | None) -> bool:
        if is_deadlock(error):
            found.append(error)  # type: ignore[arg-type]
        return is_deadlock(error)

    monkeypatch.setattr(deadlocks, "is_deadlock", record)
    yield found
