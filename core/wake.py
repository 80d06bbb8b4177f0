"""The one way to wake a worker: on commit, bounded, never an error.

The rows are the truth and a sweeper finds what no message announced, so a wake-up that cannot be sent is counted
and forgotten. The promise to the caller is about time: whatever the broker does — refuse, hang in the middle of a
handshake, swallow everything in silence — the request goes on after WAIT_TIMEOUT seconds at most. After one such
failure nobody tries again for REST_SECONDS, and then one alone; and nobody waits behind a message that has been on its
way for IMPATIENCE seconds.
"""

import contextvars
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from prometheus_client import Counter

log = structlog.get_logger(__name__)

WAIT_TIMEOUT = 3.0  # seconds
IMPATIENCE = 0.5  # seconds; a message takes a millisecond
REST_SECONDS = 5.0
failures = Counter("opsroom_wake_failures", "Wake-ups that could not be sent; a sweeper does their work", ["task"])


def wake(task: str, *args: Any, expires: float | None = None) -> None:
    """Send the task of this name with `args` (ids only) on commit; at once outside of a transaction.

    By name, so that who wakes need not import who works. A message that is `expires` seconds old says nothing new and
    is dropped: for what a sweeper repeats anyway. Never raises for a broker's sake and never blocks for longer than
    WAIT_TIMEOUT: publishing happens in a thread of its own, because not every transport honours its timeouts in every
    state.
    """
    transaction.on_commit(partial(_send, task, args, {} if expires is None else {"expires": expires}), robust=True)


class _Sender:
    """The thread that publishes, and when it last failed."""

    def __init__(self) -> None:
        self.rest_until = 0.0
        self.has_failed = False
        self.waiting: dict[object, float] = {}  # messages on their way, and since when
        self._fresh_pool()

    def _fresh_pool(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wake")

    def send(self, task: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self.rest_until:
            raise TimeoutError("the broker did not answer a moment ago")
        if any(self.has_failed or now - since > IMPATIENCE for since in tuple(self.waiting.values())):
            raise TimeoutError("the broker keeps another message waiting")
        context = contextvars.copy_context()  # the request's id goes with the message
        message = object()
        self.waiting[message] = now
        try:
            self._publish(self.pool.submit(context.run, partial(current_app.send_task, task, args, **options)))
        finally:
            del self.waiting[message]

    def _publish(self, future: Future[object]) -> None:
        try:
            future.result(timeout=WAIT_TIMEOUT)
            self.has_failed = False
        except BaseException:
            self.has_failed, self.rest_until = True, time.monotonic() + REST_SECONDS
            if not future.done():
                self._fresh_pool()  # leave the stuck thread to its socket's timeout
            raise


_sender = _Sender()


def _start_afresh() -> None:
    global _sender
    _sender = _Sender()


# Celery's worker processes are forks, and a thread does not survive one.
os.register_at_fork(after_in_child=_start_afresh)


def _send(task: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        _sender.send(task, args, options)
    except Exception as error:
        failures.labels(task=task).inc()
        log.warning("wake_failed", task=task, args=args, error=f"{type(error).__name__}: {error}")
