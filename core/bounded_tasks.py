"""Celery tasks with a bounded duration and without soft time limits.

A soft time limit is a signal that raises an exception at an arbitrary point. Between a task's end and the next task, a
pool process writes the result into a pipe to the worker's main process. An exception there leaves half a message in the
pipe, the main process cannot decode the next one, and the worker hangs without any pool process.

So three limits bound the work without interrupting it:

1. A loop ends after its budget in seconds, by the monotonic clock. The next message, or the sweeper, continues.
2. A task that is still running after GRACE of its time limit gets OutOfTime from its next database statement, and its
   transaction is rolled back. statement_timeout bounds each statement, and socket timeouts bound other libraries.
3. The hard time limit kills the pool process, and the worker starts another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task
from django.db import connection

GRACE = 0.75  # fraction of the time limit


class OutOfTime(Exception):
    """The task has used up its time and must not start another statement."""


class BoundedTask(Task):
    """Task whose database statements are refused after GRACE of its time limit."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.time_limit is None:
            return self.run(*args, **kwargs)
        with connection.execute_wrapper(_until(time.monotonic() + GRACE * self.time_limit)):
            return self.run(*args, **kwargs)


def bounded_task(time_limit: int) -> Callable[[Callable[..., None]], Any]:
    """Decorate a function as a BoundedTask: it normally ends by itself, and is killed after `time_limit` seconds."""
    return shared_task(base=BoundedTask, time_limit=time_limit)


def _until(end: float) -> Callable[..., Any]:
    def within_time(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if time.monotonic() > end:
            raise OutOfTime
        return execute(sql, params, many, context)

    return within_time
