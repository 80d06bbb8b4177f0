"""Wake-up messages to workers: sent on commit, with bounded waiting, and never an error for the caller.

The rows are authoritative, and a sweeper finds rows whose message was lost. So a wake-up that cannot be sent is
counted and dropped. The caller waits at most WAIT_TIMEOUT seconds, whether the broker refuses, hangs in the middle of a
handshake, or accepts data without answering. After such a failure nothing is sent for RETRY_INTERVAL, and then by one
caller only. While a message has been waiting for MAX_QUEUE_SECONDS seconds, no other caller waits behind it.
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
MAX_QUEUE_SECONDS = 0.5  # seconds; sending normally takes a millisecond
RETRY_INTERVAL = 5.0
failures = Counter("opsroom_wake_failures", "Wake-ups that could not be sent; a sweeper does their work", ["task"])


def wake(task: str, *args: Any, expires: float | None = None) -> None:
    """Send the task of this name with `args` (ids only) on commit, or at once outside a transaction.

    By name, so that callers need not import the task's module. A message is dropped when it is `expires` seconds old:
    for work that a sweeper repeats anyway. Broker errors are not raised, and the call blocks for at most WAIT_TIMEOUT:
    a separate thread publishes, because some transports do not honour their timeouts in every state.
    """
    transaction.on_commit(partial(_send, task, args, {} if expires is None else {"expires": expires}), robust=True)


class _Sender:
    """The thread that publishes, and the state of its last failure."""

    def __init__(self) -> None:
        self.rest_until = 0.0
        self.has_failed = False
        self.waiting: dict[object, float] = {}  # messages being sent, with their start on the monotonic clock
        self._fresh_pool()

    def _fresh_pool(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wake")

    def send(self, task: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self.rest_until:
            raise TimeoutError("the broker did not answer a moment ago")
        if any(self.has_failed or now - since > MAX_QUEUE_SECONDS for since in tuple(self.waiting.values())):
            raise TimeoutError("the broker keeps another message waiting")
        context = contextvars.copy_context()  # carries the request's id into the message
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
            self.has_failed, self.rest_until = True, time.monotonic() + RETRY_INTERVAL
            if not future.done():
                self._fresh_pool()  # abandon the stuck thread until its socket times out
            raise


_sender = _Sender()


def _start_afresh() -> None:
    global _sender
    _sender = _Sender()


# Celery's pool processes are forks, and a thread does not survive a fork.
os.register_at_fork(after_in_child=_start_afresh)


def _send(task: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        _sender.send(task, args, options)
    except Exception as error:
        failures.labels(task=task).inc()
        log.warning("wake_failed", task=task, args=args, error=f"{type(error).__name__}: {error}")
