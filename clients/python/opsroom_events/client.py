"""The client. `track` puts an event into a bounded queue, which a background thread sends, so no caller waits.

An event stays in the queue until the server has answered for it. After any failure it is sent again with the same id.
Only the thread removes events, and only from the left, so the events it has read are still in place afterwards.
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

from .wire import MAX_BYTES, MAX_EVENTS, Answer, Event, Verdict, Wire, encode

log = logging.getLogger("opsroom_events")

MAX_QUEUED_BYTES = 64 * 1024 * 1024
MIN_PAUSE, MAX_PAUSE = 0.5, 60.0  # seconds between attempts
QUIET = 60.0  # seconds between two warnings of the same kind


@dataclass(frozen=True)
class Stats:
    """The numbers of events by result so far. `tracked` is the sum of all others except `retries`."""

    tracked: int = 0
    queued: int = 0
    accepted: int = 0
    duplicates: int = 0  # already stored by the server: an earlier response was lost
    rejected: int = 0  # by the server, because of their content
    dropped: int = 0  # the queue was full or the client closed
    invalid: int = 0  # too large, nested too deeply, or a method of the data raised
    retries: int = 0  # requests that have to be repeated


class Client:
    """Sends events in the background. Thread-safe and fork-safe; it never raises into the application.

    `max_queue` is the maximum number of queued events. `max_age` is how many seconds an event waits for others.
    `exit_timeout` is how many seconds the program's exit may wait. `on_rejected(event, errors)` is called in the
    client's thread for each event that the server rejected because of its content. With `on_sigterm`, a SIGTERM that
    the program does not handle sends the queued events before it ends the program.
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
        """Pickle as a new client with the same options, for example for multiprocessing's spawn."""
        names = ("max_queue", "max_age", "exit_timeout", "on_rejected", "on_sigterm")
        return _make, (self._url, self._write_key, {name: getattr(self, f"_{name}") for name in names})

    def _start_empty(self) -> None:
        """Set the state of a new process. After a fork, the parent keeps its events, thread, lock and connection.

        A client that was closed in the parent is open again in the child.
        """
        self._closed = False
        self._changed = threading.Condition()
        self._queue: collections.deque[Event] = collections.deque()
        self._queued_bytes = 0
        self._put = self._settled = 0  # events ever added to the queue, and removed from it
        self._flush_to = 0  # events up to this number are due immediately
        self._flushes = 0  # flushes started
        self._flushes_tried = 0  # flushes started before the last attempt
        self._batch_limit = MAX_EVENTS  # reduced while the server refuses batches
        self._failures = 0  # in a row
        self._stats = Stats()
        self._last_warning: dict[str, float] = {}
        self._wire = Wire(self._url, self._write_key)
        self._thread: threading.Thread | None = None

    # --- Called by the application ---

    def track(
        self, session_id: Any, category: str, name: str, data: Any = None, *, timestamp: datetime | None = None
    ) -> str | None:
        """Queue an event and return its id, or None if it was not queued. Never blocks, never raises.

        `timestamp` defaults to now. Without a time zone it is in the machine's local time, as usual in Python.
        """
        try:
            event = encode(session_id, category, name, data, timestamp)
        except Exception as error:  # methods of the data may raise anything
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
        """Send what is queued now. Return whether the server answered for all of it within `timeout` seconds.

        It ends a pause between two attempts, even if the server requested the pause, so at least one attempt is made.
        """
        return self._wait_for(self._begin_flush(), timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush and stop. Return whether everything was sent. Called automatically when the program exits."""
        if self._closed:
            return not self._queue
        return self._finish(self._begin_flush(), self._exit_timeout if timeout is None else timeout)

    def _begin_flush(self) -> int:
        """Wake the thread to send now. Return how many events must be settled before the flush is complete."""
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
        return len(self._queue) < self._max_queue and self._queued_bytes + len(event.body) <= MAX_QUEUED_BYTES

    def _append(self, event: Event) -> None:
        self._queue.append(event)
        self._queued_bytes += len(event.body)
        self._put += 1
        if len(self._queue) == 1 or self._is_batch_full():
            self._changed.notify_all()
        _note_process()
        if self._thread is None or not self._thread.is_alive():  # here, so that each process that tracks has a thread
            self._thread = threading.Thread(target=self._work, name="opsroom-events", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads available; the next event retries
                self._thread.start()

    # --- Run by the thread ---

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
        """Wait until events are due and return them, still in the queue. Empty if the client is closed."""
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
        return len(self._queue) >= self._batch_limit or self._queued_bytes >= MAX_BYTES

    def _head(self) -> list[Event]:
        batch: list[Event] = []
        size = len(b"[]")
        for event in itertools.islice(self._queue, self._batch_limit):
            size += len(event.body) + (1 if batch else 0)
            if size > MAX_BYTES:
                break
            batch.append(event)
        return batch

    def _settle(self, batch: Sequence[Event], results: Sequence[dict[str, Any]]) -> None:
        """Count the server's results, report the rejected events, and remove the batch from the queue."""
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
            self._failures, self._batch_limit = 0, min(MAX_EVENTS, self._batch_limit * 2)
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
        """Send half as many events from now on. A single event that is refused counts as rejected."""
        if len(batch) > 1:
            self._batch_limit = len(batch) // 2
            self._count(retries=1)
        else:
            self._settle(batch, [{"status": "rejected", "errors": [{"code": "refused", "message": problem}]}])

    def _pause(self, answer: Answer) -> None:
        """Wait before the next attempt: for as long as the server asks, plus a random time.

        A flush that began after the last attempt began ends the pause and gets its own attempt.
        """
        self._warn(answer.verdict.value, "Opsroom does not take events, trying again: %s", answer.problem)
        longest = min(MAX_PAUSE, MIN_PAUSE * 2 ** min(self._failures, 10))
        shortest = 0.0
        if answer.verdict is Verdict.MISCONFIGURED:
            shortest, longest = MAX_PAUSE / 2, MAX_PAUSE
        with self._changed:
            self._failures += 1
            self._count(retries=1)
            self._changed.wait_for(
                lambda: self._closed or self._flushes > self._flushes_tried,
                answer.retry_after + random.uniform(shortest, longest),
            )

    # --- Used by both ---

    def _count(self, **more: int) -> None:
        with self._changed:
            self._stats = replace(self._stats, **{key: getattr(self._stats, key) + by for key, by in more.items()})

    def _warn(self, kind: str, words: str, *arguments: object) -> None:
        """Log a warning at most once a minute.

        Never called with the lock held, because a log handler may call `track`.
        """
        now = time.monotonic()
        if now - self._last_warning.get(kind, -QUIET) >= QUIET:
            self._last_warning[kind] = now
            log.warning(words, *arguments)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_noted = 0  # the process whose exit handler is installed
_exit = os._exit


def _make(url: str, write_key: str, options: dict[str, Any]) -> Client:
    return Client(url, write_key, **options)


def _close_all() -> None:
    """Flush all clients at the same time, so that the exit waits for the longest of their timeouts, not the sum."""
    begun = [(client, client._begin_flush()) for client in list(_clients) if not client._closed]
    start = time.monotonic()
    for client, wanted in begun:
        client._finish(wanted, max(0.0, client._exit_timeout - (time.monotonic() - start)))


def _note_process() -> None:
    """Send at the end of a multiprocessing process, which runs no exit handlers except these."""
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
    """Replacement of `os._exit` in a child process, which runs no exit handlers."""
    try:
        if any(client._queue for client in list(_clients)):
            _close_all()
    finally:
        _exit(status)


def _handle_sigterm() -> None:
    """Install a SIGTERM handler if the program has none. This is only possible in the main thread."""
    with contextlib.suppress(ValueError):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _end_by_sigterm)


def _end_by_sigterm(number: int, frame: Any) -> None:
    """Send the queued events, then end by the same signal. A second one ends the program immediately."""
    signal.signal(number, signal.SIG_DFL)
    try:
        _close_all()
    finally:
        os.kill(os.getpid(), number)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_start_empty_in_child)
