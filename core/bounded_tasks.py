"""Celery tasks with a bounded duration, and without soft time limits.

A soft time limit is a signal that raises an exception wherever the process happens to be. Between a task's end and the
next task a pool process writes the result into a pipe to the worker's main process. An exception there leaves half a
message in the pipe, the main process fails to decode the next one, and the worker hangs with no pool process left.

So the work is bounded in three steps, none of which interrupts anything:

1. A loop ends after its budget in seconds, by the monotonic clock. The next message, or the sweeper, continues.
2. A task that is still running after GRACE of its time limit gets OutOfTime from its next database statement, and its
   transaction is rolled back. Postgres bounds the statement itself (statement_timeout), other libraries their sockets.
3. The hard time limit kills the pool process, and the worker starts another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task
from django.db import connection

GRACE = 0.75  # of the time limit


class OutOfTime(Exception):
    """The task has used up its time, and may not begin another statement."""


class BoundedTask(Task):
    """A task whose database statements are refused after GRACE of its time limit."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.time_limit is None:
            return self.run(*args, **kwargs)
        with connection.execute_wrapper(_until(time.monotonic() + GRACE * self.time_limit)):
            return self.run(*args, **kwargs)


def bounded_task(time_limit: int) -> Callable[[Callable[..., None]], Any]:
    """Decorate a function as a Celery task that is killed after `time_limit` seconds, and ends by itself before."""
    return shared_task(base=BoundedTask, time_limit=time_limit)


def _until(end: float) -> Callable[..., Any]:
    def within_time(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if time.monotonic() > end:
            raise OutOfTime
        return execute(sql, params, many, context)

    return within_time
