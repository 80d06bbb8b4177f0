"""The client: `track` puts an event into a bounded queue, a thread empties it, and nobody waits for the network.

An event stays in the queue until the server has answered for it, so whatever breaks in between, it is sent again with
the same id. Only the thread takes events off, and only from the left: what it read there is still there afterwards.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import itertools
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Callable, NoReturn

from .wire import MOST_BYTES, MOST_EVENTS, Answer, Event, Verdict, Wire, encode

log = logging.getLogger("opsroom_events")

MOST_QUEUED_BYTES = 64 * 1024 * 1024
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds between attempts
QUIET = 60.0  # seconds between two warnings of one kind


@dataclass(frozen=True)
class Stats:
    """What became of the events so far. `tracked` is the sum of all others but `retries`."""

    tracked: int = 0
    queued: int = 0
    accepted: int = 0
    duplicates: int = 0  # the server had them: an earlier answer was lost
    rejected: int = 0  # by the server, for their content
    dropped: int = 0  # the queue was full, or the client closed
    invalid: int = 0  # too large, nested too deeply, or its own methods failed
    retries: int = 0  # requests that have to be made again


class Client:
    """Sends events in the background. Thread-safe, fork-safe, and nothing it does raises into the application.

    `max_queue` events are held at most; `max_age` is how many seconds an event waits for others; `exit_timeout` how
    many the program's end may wait; `on_rejected(event, errors)` is called, in the client's thread, for each event that
    the server refused for its content. With `on_sigterm` a SIGTERM that the program does not handle itself sends what
    is queued before it ends the program.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        max_queue: int = 10_000,
        max_age: float = 1.0,
        exit_timeout: float = 5.0,
        on_rejected: Callable[[dict[str, Any], list[Any]], None] | None = None,
        on_sigterm: bool = True,
    ) -> None:
        self._url, self._write_key = url, write_key
        self._max_queue, self._max_age, self._exit_timeout = max_queue, max_age, exit_timeout
        self._on_rejected, self._on_sigterm = on_rejected, on_sigterm
        self._start_empty()
        _clients.add(self)
        if on_sigterm:
            _handle_sigterm()

    def __reduce__(self) -> tuple[Any, ...]:
        """A client that is sent to another process, as by multiprocessing's spawn, is a new one with these options."""
        names = ("max_queue", "max_age", "exit_timeout", "on_rejected", "on_sigterm")
        return _make, (self._url, self._write_key, {name: getattr(self, f"_{name}") for name in names})

    def _start_empty(self) -> None:
        """State of a fresh process: after a fork, the parent's events, thread, lock and connection are the parent's.

        A client that the parent has closed is open again in the child.
        """
        self._closed = False
        self._changed = threading.Condition()
        self._queue: collections.deque[Event] = collections.deque()
        self._queued_bytes = 0
        self._put = self._settled = 0  # events ever put into the queue, and taken off it
        self._flush_to = 0  # events up to this one are wanted at once
        self._flushes = 0  # begun
        self._flushes_tried = 0  # begun before the last attempt
        self._batch_limit = MOST_EVENTS  # fewer while the server refuses
        self._failures = 0  # in a row
        self._stats = Stats()
        self._last_warning: dict[str, float] = {}
        self._wire = Wire(self._url, self._write_key)
        self._thread: threading.Thread | None = None

    # --- The application's side ---

    def track(
        self, session_id: Any, category: str, name: str, data: Any = None, *, timestamp: datetime | None = None
    ) -> str | None:
        """Queue an event and return its id, or None if it was not taken. Never blocks, never raises.

        `timestamp` is now unless given; one without a zone is meant in the zone of this machine, as Python means it.
        """
        try:
            event = encode(session_id, category, name, data, timestamp)
        except Exception as error:  # data's own methods may raise anything
            self._count(tracked=1, invalid=1)
            self._warn("invalid", "An event cannot be sent and was dropped: %s: %s", type(error).__name__, error)
            return None
        with self._changed:
            taken = not self._closed and self._has_room(event)
            if taken:
                self._append(event)
            self._count(tracked=1, dropped=0 if taken else 1)
        if not taken:
            self._warn("full", "The queue is full or closed: %d events were dropped so far.", self._stats.dropped)
        return event.id if taken else None

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is queued now; return whether the server answered for all of it within `timeout` seconds.

        It ends a pause between two attempts, also one that the server asked for, so at least one attempt is made.
        """
        return self._wait_for(self._begin_flush(), timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush and stop; return whether everything went out. Happens by itself at the program's end."""
        if self._closed:
            return not self._queue
        return self._finish(self._begin_flush(), self._exit_timeout if timeout is None else timeout)

    def _begin_flush(self) -> int:
        """Let the thread send at once; return how many events must be settled for the flush to be done."""
        with self._changed:
            self._flush_to = self._put
            self._flushes += 1
            self._changed.notify_all()
            return self._flush_to

    def _wait_for(self, wanted: int, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._settled >= wanted, timeout)

    def _finish(self, wanted: int, timeout: float) -> bool:
        sent = self._wait_for(wanted, timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            lost = len(self._queue)
        if lost:
            log.warning("Closed with %d events that the server has not answered for.", lost)
        elif self._thread is not None:
            self._thread.join(1)  # it is idle
        return sent

    @property
    def stats(self) -> Stats:
        with self._changed:
            return replace(self._stats, queued=len(self._queue))

    def _has_room(self, event: Event) -> bool:
        return len(self._queue) < self._max_queue and self._queued_bytes + len(event.body) <= MOST_QUEUED_BYTES

    def _append(self, event: Event) -> None:
        self._queue.append(event)
        self._queued_bytes += len(event.body)
        self._put += 1
        if len(self._queue) == 1 or self._is_batch_full():
            self._changed.notify_all()
        _note_process()
        if self._thread is None or not self._thread.is_alive():  # at an event, so in whichever process has events
            self._thread = threading.Thread(target=self._work, name="opsroom-events", daemon=True)
            with contextlib.suppress(RuntimeError):  # the machine has no thread left; the next event tries again
                self._thread.start()

    # --- The thread's side ---

    def _work(self) -> None:
        try:
            while batch := self._next_batch():
                answer = self._wire.send(batch)
                if answer.verdict is Verdict.TAKEN:
                    self._settle(batch, answer.results)
                elif answer.verdict is Verdict.REFUSED:
                    self._split(batch, answer.problem)
                else:
                    self._pause(answer)
        finally:
            self._wire.close()

    def _next_batch(self) -> list[Event]:
        """Wait until events are due; return them, still in the queue. Empty when the client is closed."""
        with self._changed:
            while not self._closed:
                wait = self._due_in()
                if wait is not None and wait <= 0:
                    self._flushes_tried = self._flushes
                    return self._head()
                self._changed.wait(wait)
        return []

    def _due_in(self) -> float | None:
        if not self._queue:
            return None
        if self._is_batch_full() or self._settled < self._flush_to:
            return 0.0
        return self._queue[0].taken_at + self._max_age - time.monotonic()

    def _is_batch_full(self) -> bool:
        return len(self._queue) >= self._batch_limit or self._queued_bytes >= MOST_BYTES

    def _head(self) -> list[Event]:
        batch: list[Event] = []
        size = len(b"[]")
        for event in itertools.islice(self._queue, self._batch_limit):
            size += len(event.body) + (1 if batch else 0)
            if size > MOST_BYTES:
                break
            batch.append(event)
        return batch

    def _settle(self, batch: Sequence[Event], results: Sequence[dict[str, Any]]) -> None:
        """The server has spoken: count, hand the rejected ones on, and take the batch off the queue."""
        rejected = [(event, result) for event, result in zip(batch, results) if result.get("status") == "rejected"]
        duplicates = sum(result.get("status") == "duplicate" for result in results)
        for event, result in rejected:
            self._tell(event, result.get("errors") or [])
        with self._changed:
            for event in batch:
                self._queue.popleft()
                self._queued_bytes -= len(event.body)
            accepted = len(batch) - len(rejected) - duplicates
            self._count(accepted=accepted, duplicates=duplicates, rejected=len(rejected))
            self._settled += len(batch)
            self._failures, self._batch_limit = 0, min(MOST_EVENTS, self._batch_limit * 2)
            self._changed.notify_all()

    def _tell(self, event: Event, errors: list[Any]) -> None:
        self._warn("rejected", "Opsroom rejected an event: %s", errors)
        if self._on_rejected is None:
            return
        try:
            self._on_rejected(json.loads(event.body), errors)
        except Exception:
            log.exception("on_rejected failed")

    def _split(self, batch: Sequence[Event], problem: str) -> None:
        """Send halves from now on; a single event that is refused is beyond help."""
        if len(batch) > 1:
            self._batch_limit = len(batch) // 2
            self._count(retries=1)
        else:
            self._settle(batch, [{"status": "rejected", "errors": [{"code": "refused", "message": problem}]}])

    def _pause(self, answer: Answer) -> None:
        """Wait before the next attempt: as long as the server asks, then at random.

        A flush that began after the last attempt began ends the pause, and has an attempt of its own.
        """
        self._warn(answer.verdict.value, "Opsroom does not take events, trying again: %s", answer.problem)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        shortest = 0.0
        if answer.verdict is Verdict.MISCONFIGURED:
            shortest, longest = LONGEST_PAUSE / 2, LONGEST_PAUSE
        with self._changed:
            self._failures += 1
            self._count(retries=1)
            self._changed.wait_for(
                lambda: self._closed or self._flushes > self._flushes_tried,
                answer.retry_after + random.uniform(shortest, longest),
            )

    # --- Both ---

    def _count(self, **more: int) -> None:
        with self._changed:
            self._stats = replace(self._stats, **{key: getattr(self._stats, key) + by for key, by in more.items()})

    def _warn(self, kind: str, words: str, *arguments: object) -> None:
        """Say it once a minute at most. Never while holding the lock: a log handler may call `track`."""
        now = time.monotonic()
        if now - self._last_warning.get(kind, -QUIET) >= QUIET:
            self._last_warning[kind] = now
            log.warning(words, *arguments)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_noted = 0  # the process that was prepared for its end
_exit = os._exit


def _make(url: str, write_key: str, options: dict[str, Any]) -> Client:
    return Client(url, write_key, **options)


def _close_all() -> None:
    """Flush all clients at the same time: the program's end waits for the longest of their timeouts, not the sum."""
    begun = [(client, client._begin_flush()) for client in list(_clients) if not client._closed]
    start = time.monotonic()
    for client, wanted in begun:
        client._finish(wanted, max(0.0, client._exit_timeout - (time.monotonic() - start)))


def _note_process() -> None:
    """Have a process of multiprocessing send at its end, at which it runs no exit handlers but these."""
    global _noted
    if _noted == os.getpid():
        return
    _noted = os.getpid()
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=10)


def _start_empty_in_child() -> None:
    for client in list(_clients):
        client._start_empty()
    if _clients:
        os._exit = _exit_after_sending


def _exit_after_sending(status: int) -> NoReturn:
    """Take the place of `os._exit` in a child process, which runs no exit handlers."""
    try:
        if any(client._queue for client in list(_clients)):
            _close_all()
    finally:
        _exit(status)


def _handle_sigterm() -> None:
    """Handle SIGTERM where the program does not, which it can only decide in its main thread."""
    with contextlib.suppress(ValueError):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _end_by_sigterm)


def _end_by_sigterm(number: int, frame: Any) -> None:
    """Send what is queued, then end by the same signal; a second one ends at once."""
    signal.signal(number, signal.SIG_DFL)
    try:
        _close_all()
    finally:
        os.kill(os.getpid(), number)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_start_empty_in_child)
